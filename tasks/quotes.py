"""Quotations in prose: where somebody speaks, in the marks that the book uses for it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

# Opening marks and what closes them, the likelier first. A mark that opens and closes is told by
# its neighbours; of single marks those that are apostrophes are left out.
_CLOSERS = {
    "“": "”", '"': '"', "„": "“”", "«": "»", "»": "«", "”": "”", "「": "」", "‘": "’", "'": "'",
}  # fmt: skip
_BEFORE = r"(?:^|(?<=[\s(\[—–\-]))"
_OPENER = {
    mark: re.compile(re.escape(mark) if mark == "「" else rf"{_BEFORE}{re.escape(mark)}(?=\s?\S)")
    for mark in _CLOSERS
}
_SINGLE = {"‘": "’'", "'": "'"}
_ELIDED_FIRST = re.compile(
    r"['’‘](?:tis|twas|twere|twill|twould|em|til|till|cause|bout|round|n|neath|gainst|pon)\b", re.I
)
_ELIDED_LAST = re.compile(r"(?:\b(?:o|an|th|wi|t|d|ol|mo)|in)$", re.I)
_ANYWHERE = {mark: re.compile(re.escape(mark)) for mark in _CLOSERS}
_INNER = re.compile('“[^“”]*”|"[^"]*"')
_DASH = re.compile(r"(?:^|(?<=\s))[—–―](?=\s?\S)")


@dataclass(frozen=True)
class Quotation:
    """Characters `start` to `end` of a paragraph, marks included, in which somebody speaks.

    `continues` one of the paragraph before, or is `unfinished` and goes on in the next.
    """

    start: int
    end: int
    continues: bool = False
    unfinished: bool = False


def quotations(texts: Sequence[str], dashes: bool = False) -> list[list[Quotation]]:
    """The outermost quotations of each paragraph of a chapter, in order.

    `texts` has "" for what is no prose, which ends what was said before. The marks are those that
    the chapter uses most. A speech over several paragraphs opens anew in each of them. A mark that
    is never closed, and not taken up by the next paragraph, opens nothing. `dashes`: a paragraph
    that begins with a dash is speech as far as the next dash.
    """
    opener = _style(texts)
    found: list[list[Quotation]] = []
    for text in texts:
        quoted = list(_scan(text, opener)) if opener else []
        if not quoted and dashes:
            quoted = list(_dashed(text))
        before = found[-1][-1] if found and found[-1] else None
        if before and before.unfinished:
            if quoted and not text[: quoted[0].start].strip():
                quoted[0] = replace(quoted[0], continues=True)
            elif not before.continues:
                found[-1].pop()
        found.append(quoted)
    if found and found[-1]:
        last = found[-1][-1]
        if last.unfinished and not last.continues and texts[-1][: last.start].strip():
            found[-1].pop()
    return found


def _style(texts: Sequence[str]) -> str:
    """The opening mark that is used most."""
    counts = Counter(
        {mark: sum(len(opener.findall(t)) for t in texts) for mark, opener in _OPENER.items()}
    )
    if counts["„"]:
        counts["“"] = 0  # there it closes
    (mark, count) = counts.most_common(1)[0]
    return mark if count else ""


def _scan(text: str, opener: str) -> Iterator[Quotation]:
    """Quotations of one paragraph; the last may be unfinished."""
    closing = _closing
    if opener in _SINGLE:
        text = _INNER.sub(lambda match: "x" * len(match.group()), text)
        closing = _closing_single
    opening, at = _opening(text, opener, 0), 0
    while opening >= 0:
        following = _opening(text, opener, opening + 1)
        end = closing(text, opener, opening, following if following >= 0 else len(text))
        if end >= 0:
            yield Quotation(opening, end + 1)
            at = end + 1
            following = following if following >= at else _opening(text, opener, at)
        elif following < 0:
            yield Quotation(opening, len(text.rstrip()), unfinished=True)
        # What is opened anew before it is closed was no quotation.
        opening = following


def _opening(text: str, opener: str, at: int) -> int:
    """Where a quotation next begins, -1 for nowhere."""
    pattern = _OPENER[opener] if opener in _CLOSERS[opener] + "‘" else _ANYWHERE[opener]
    for match in pattern.finditer(text, at):
        if opener != "'" or not _ELIDED_FIRST.match(text, match.start()):
            return match.start()
    return -1


def _closing(text: str, opener: str, start: int, stop: int) -> int:
    """Where what opens at `start` closes before `stop`, -1 for nowhere."""
    places = (text.find(mark, start + 1, stop) for mark in _CLOSERS[opener])
    return min((place for place in places if place >= 0), default=-1)


def _closing_single(text: str, opener: str, start: int, stop: int) -> int:
    """`_closing` where the mark may be an apostrophe.

    After a mark it closes. After a letter it does only where nothing after a mark would: the first
    one before a mark, else the last that is no elision, and rather not a plural's possessive.
    """
    weak = possessive = -1
    for match in re.finditer(f"[{_SINGLE[opener]}]", text[start + 1 : stop]):
        at = start + 1 + match.start()
        if text[at - 1].isspace() or text[at + 1 : at + 2].isalnum():
            continue
        if not text[at - 1].isalnum() and at > start + 1:
            return at
        if _ELIDED_LAST.search(text[max(start + 1, at - 12) : at]):
            continue
        if text[at + 1 : at + 2].isspace() and text[at - 1] == "s":
            possessive = at
        elif weak < 0 or text[weak + 1 : weak + 2].isspace():
            weak = at
    return weak if weak >= 0 else possessive


def _dashed(text: str) -> Iterator[Quotation]:
    """Speech after a dash at the paragraph's beginning, and after each second dash from there."""
    places = [match.start() for match in _DASH.finditer(text)]
    if not places or text[: places[0]].strip():
        return
    for start, end in zip(places[::2], [*places[1::2], len(text)], strict=False):
        yield Quotation(start, start + len(text[start:end].rstrip()))
