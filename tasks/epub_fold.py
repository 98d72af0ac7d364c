"""Folded text: white space, invisible characters and ligatures; which character came from where."""

# Soft hyphens and the places where a line may or may not break are for the eye only.
INVISIBLE = dict.fromkeys("\u00ad\u200b\u2060\ufeff", "")
LIGATURES = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "st",
    "\ufb06": "st",
}
FOLDED = str.maketrans(INVISIBLE | LIGATURES)


def fold_text(text: str) -> str:
    """Printed text with white space folded, invisible characters removed, ligatures spelled."""
    return " ".join(text.translate(FOLDED).split())


def folded_offsets(raw: str) -> tuple[str, list[int]]:
    """`fold_text(raw)`, and for each of its characters the number of its character in `raw`.

    The numbers never fall. A folded space comes from the first white space of its run, all letters
    of a ligature from the one character that it is.
    """
    text: list[str] = []
    offsets: list[int] = []
    space = -1
    for at, character in enumerate(raw):
        if character.isspace():
            space = at if space < 0 else space
            continue
        for letter in character.translate(FOLDED):
            if space >= 0:
                if text:
                    text.append(" ")
                    offsets.append(space)
                space = -1
            text.append(letter)
            offsets.append(at)
    return "".join(text), offsets
