"""Pauses: every printed mark becomes one of the inventory's `, . ? !`, and runs become one mark.

The inventory also has "-" and "…", but speech to train on has dashes and ellipses too seldom for
a model to learn marks of their own, and colons, semicolons and dashes are paused like commas
(measured on the training speech: 115 ms for a comma, 125 to 150 ms for the others).
"""

from collections.abc import Sequence

PAUSES = frozenset((*",.?!", "…", "-", "SP2", "SP3"))  # those behind "!" are Chinese only
ENDS = frozenset(".?!")

_MARKS = {
    **dict.fromkeys(",;:-—–―⸺⸻‒…⋯、，；：", ","),
    **dict.fromkeys(".。．｡", "."),
    **dict.fromkeys("?？‽؟", "?"),
    **dict.fromkeys("!！¡", "!"),
}


def pause_mark(printed: str) -> str:
    """The pause for a run of printed marks: one of `, . ? !`, or "" where nothing pauses.

    The first mark that ends a sentence wins over any that does not ("?!—" is "?"). An ellipsis
    ("…", "...") is a pause inside a sentence; whether it ends one, only what follows can tell.
    """
    marks = [_MARKS[mark] for mark in printed.replace("...", "…") if mark in _MARKS]
    return next((mark for mark in marks if mark in ENDS), "," if marks else "")


def fold_marks(groups: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """One mark where several tokens in a row are marks, none before the first word.

    `groups` are the phones of each token; the result has the same length, with the weaker marks'
    tokens left empty.
    """
    folded = [tuple(group) for group in groups]
    last: int | None = None  # the token that holds the mark since the last word
    spoken = False
    for index, group in enumerate(folded):
        if not group:
            continue
        if group[0] not in PAUSES:
            spoken, last = True, None
        elif not spoken:
            folded[index] = ()
        elif last is None:
            last = index
        elif group[0] in ENDS and folded[last][0] not in ENDS:
            folded[last], last = (), index
        else:
            folded[index] = ()
    return folded


def corpus_phones(words: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """Phones of a training utterance as `speak_text` would give them.

    `words` is the corpus manifest's field of that name: each word with its ARPAbet phones, each
    punctuation mark with itself. The result is all inventory symbols and ends in `.`, `?` or `!`.
    """
    groups: list[tuple[str, ...]] = []
    index = 0
    while index < len(words):
        printed, phones = words[index]
        index += 1
        if any(character.isalnum() for character in printed):
            groups.append(tuple(phones))
            continue
        while index < len(words) and words[index][0] == printed[0]:  # "..." is three words there
            printed, index = printed + words[index][0], index + 1
        mark = pause_mark(printed)
        groups.append((mark,) if mark else ())
    return with_end(tuple(phone for group in fold_marks(groups) for phone in group))


def with_end(phones: tuple[str, ...]) -> tuple[str, ...]:
    """`phones` with a full stop at its end unless a mark that can end a sentence is there."""
    if not phones or phones[-1] in ENDS or phones[-1] == "…":
        return phones
    return (*(phones[:-1] if phones[-1] in PAUSES else phones), ".")
