"""Cutting text as GPT-SoVITS' own tools do: the methods cut0 to cut5, by their names there.

cut0 leaves the text whole, cut1 makes groups of four clauses, cut2 groups of over fifty characters,
cut3 cuts at "。", cut4 at ".", cut5 at every mark. Lines are pieces of their own. Where those tools
are wrong these are not: a mark between digits ("3.14", "1,250") never cuts, and text without words
has no pieces. Books are cut by `tasks.plan`, which knows sentences.
"""

import re
from collections.abc import Callable

_CLAUSES_A_GROUP = 4
_LEAST_A_GROUP = 50  # characters of cut2's groups
_LONGEST = 510  # characters that a BERT of 512 places takes

_SILENT = frozenset("!?…,.- ")  # pieces of nothing else are left out
_CLAUSE_MARKS = "，。？！,.?!~:：—…"
_ANY_MARKS = ",.;?!、，。？！：…"
_INSIDE_NUMBER = r"(?<=[0-9])[,.:](?=[0-9])"


def cut(text: str, method: str) -> list[str]:
    """The pieces of `text` by `method` ("cut0" to "cut5"), none of them empty.

    Raises ValueError for another method.
    """
    if method not in _METHODS:
        raise ValueError(f"no cutting method {method!r}: choose one of {', '.join(_METHODS)}")
    pieces = _METHODS[method](text if method == "cut0" else text.strip("\n"))
    spoken = [piece for piece in pieces if not _SILENT.issuperset(piece)]
    return [line for line in "\n".join(spoken).split("\n") if line]


def split_long(text: str, longest: int = _LONGEST) -> list[str]:
    """Pieces of at most `longest` characters, cut after marks where there are some."""
    pieces: list[str] = []
    current = ""
    for part in re.split(f"([{_CLAUSE_MARKS}])", text):
        if current and len(current) + len(part) > longest:
            pieces.append(current)
            current = ""
        current += part
        while len(current) > longest:  # nothing to cut at but perhaps a blank
            end = current.rfind(" ", 1, longest) + 1 or longest
            pieces.append(current[:end])
            current = current[end:]
    return [*pieces, current] if current else pieces


def _parts(text: str, marks: str) -> list[str]:
    """`text` cut after each of `marks` that is not inside a number."""
    # Without a possessive repetition, which Python before 3.11.5 gets wrong.
    part = rf"(?:{_INSIDE_NUMBER}|[^{marks}])*(?!{_INSIDE_NUMBER})[{marks}]|.+\Z"
    return re.findall(part, text, re.DOTALL)


def _clauses(text: str) -> list[str]:
    text = text.replace("……", "。").replace("——", "，")
    return _parts(text if not text or text[-1] in _CLAUSE_MARKS else f"{text}。", _CLAUSE_MARKS)


def _by_four(text: str) -> list[str]:
    clauses = _clauses(text)
    if len(clauses) <= _CLAUSES_A_GROUP:
        return [text]
    starts = [*range(0, len(clauses), _CLAUSES_A_GROUP)][:-1]  # the last group joins the one before
    ends = [*starts[1:], len(clauses)]
    return ["".join(clauses[start:end]) for start, end in zip(starts, ends, strict=True)]


def _by_length(text: str) -> list[str]:
    clauses = _clauses(text)
    if len(clauses) < 2:
        return [text]
    groups = [""]
    for clause in clauses:
        groups[-1] += clause
        if len(groups[-1]) > _LEAST_A_GROUP:
            groups.append("")
    if not groups[-1]:
        groups.pop()
    if len(groups) > 1 and len(groups[-1]) < _LEAST_A_GROUP:
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups


def _at_every_mark(text: str) -> list[str]:
    return [part for part in _parts(text, _ANY_MARKS) if part.strip(_ANY_MARKS)]


_METHODS: dict[str, Callable[[str], list[str]]] = {
    "cut0": lambda text: [text],
    "cut1": _by_four,
    "cut2": _by_length,
    "cut3": lambda text: text.strip("。").split("。"),
    "cut4": lambda text: re.split(r"(?<![0-9])\.(?![0-9])", text.strip(".")),
    "cut5": _at_every_mark,
}
