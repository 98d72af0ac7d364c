"""Sentences of printed prose, and the borders at which a long one can be cut."""

import re

from model.text.abbreviations import stop_ends_sentence

Span = tuple[int, int]

_CLOSERS = "\"'”’»)\\]」』）】》\u2060"
# a run of marks that may end a sentence, with the quotes and brackets that close after it
_END = re.compile(rf"(?:\.(?:\s\.)+|[.!?…。！？]+)[.!?…。！？{_CLOSERS}]*")
_WIDE_END = re.compile("[。！？]")
_GOES_ON = re.compile(r"[\s\"'“‘(—–-]*[a-zà-ÿ]")
# enough text around a full stop to see what it belongs to
_SIGHT = 60

# Borders by how natural a breath is there: after the mark and its closing quotes, at white space
# or around a dash.
_BREATHS = (
    (0.0, re.compile(rf"[;:][{_CLOSERS}]*(?=\s)|[.!?…][{_CLOSERS}]+(?=\s)|[—⸺][{_CLOSERS}]*")),
    (0.15, re.compile(rf",[{_CLOSERS}]*(?=\s)|[)\]](?=\s)|[、，；：]")),
    (
        0.3,
        re.compile(r"\s(?=(?:and|but|or|nor|for|which|who|that|when|where|while|if|because|as)\s)"),
    ),
    (0.6, re.compile(r"\s")),
)


def sentence_spans(text: str) -> list[Span]:
    """Spans of the sentences in `text`; together they hold every character but white space.

    Ends are seen at `.`, `!`, `?` and ellipses with the quotes that close after them, unless the
    stop belongs to an abbreviation or initial, or the next word goes on in small letters.
    """
    spans: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        if _ends_here(text, match):
            spans.append((start, match.end()))
            start = match.end()
    spans.append((start, len(text)))
    return [trimmed for span in spans if (trimmed := trim(text, span))]


def _ends_here(text: str, match: re.Match[str]) -> bool:
    after = text[match.end() : match.end() + _SIGHT]
    if _WIDE_END.search(match.group()):
        return True
    if not after[:1].isspace() or _GOES_ON.match(after):
        return False
    marks = match.group().rstrip(_CLOSERS)
    if marks == ".":
        stop = match.start()
        return stop_ends_sentence(text[max(0, stop - _SIGHT) : stop], text[stop + 1 :][:_SIGHT])
    return True


def trim(text: str, span: Span) -> Span | None:
    """`span` without white space at its ends, None where nothing else is in it."""
    start, end = span
    inside = text[start:end]
    if not inside.strip():
        return None
    return start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())


def halve(text: str, span: Span, least: int) -> tuple[Span, Span] | None:
    """`span` cut in two at the most natural border near its middle, None where it cannot be.

    Neither half is shorter than `least` characters. Text without any border is cut in the middle.
    """
    start, end = span
    if end - start < 2 * least:
        return None
    length = end - start
    best: tuple[float, int] | None = None
    for reluctance, pattern in _BREATHS:
        for match in pattern.finditer(text, start + least - 1, end):
            cut = match.end()
            if cut - start < least or end - cut < least:
                continue
            cost = reluctance + abs(cut - start - length / 2) / length
            if best is None or cost < best[0]:
                best = (cost, cut)
    cut = best[1] if best else start + length // 2
    left, right = trim(text, (start, cut)), trim(text, (cut, end))
    return (left, right) if left and right else None
