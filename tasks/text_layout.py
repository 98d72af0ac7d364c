"""A plain-text book's layout: paragraphs out of hard-wrapped lines, verse, headings, footnotes."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tasks.epub_chapters import NUMBER_WORDS, plain
from tasks.epub_text import is_ornament

# Lines longer than this were not broken by hand, so each is a paragraph.
LONGEST_WRAPPED = 110
# Nor were they where so many end like sentences.
ENDED_LINES = 0.7
LINE_END = re.compile(r"[.!?…。！？」』）”][\"'’”]?\s*$")
LONGEST_HEADING = 90
# A list of so many headings with nothing between is a table of contents.
LEAST_LISTED = 3
# Where so many numbered headings have a short line below, these lines are titles.
MOST = 0.6
# A line of verse leaves so much of the column empty.
VERSE_WIDTH = 0.8

_NUMERAL = r"(?:\d{1,3}|[IVXLCDM]{1,7}|[ivxlcdm]{1,7}|(?:the\s+)?(?:" + (
    NUMBER_WORDS.replace(" ", "|") + r")(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?)"
)
_PARTS = r"book|part|volume|act|buch|teil|partie|livre|parte|libro|часть|том"
_CHAPTERS = (
    r"chapter|canto|scene|letter|stave|section|kapitel|chapitre|capítulo|capitulo|capitolo|глава"
)
_ALONE = (
    r"prologue|epilogue|preface|foreword|introduction|afterword|conclusion|appendix|contents"
    r"|table of contents|dedication|notes|index|prolog|epilog|vorwort|nachwort|einleitung|inhalt"
)
NUMBERED = re.compile(
    rf"(?:(?P<part>{_PARTS})|(?:{_CHAPTERS}))\s+{_NUMERAL}(?![\w'’])(?P<rest>.*)", re.I
)
NUMBERED_CJK = re.compile(
    r"第\s*[0-9０-９〇一二三四五六七八九十百千两]{1,7}\s*(?:(?P<part>[卷部])|[章回节節话話]).*"
)
ALONE = re.compile(rf"(?:{_ALONE})\s*[.:]?", re.I)
NUMERAL = re.compile(r"(?:[IVXLCDM]{1,7}|\d{1,3})\s*[.:]?")
BARE = re.compile(rf"(?:(?:{_PARTS}|{_CHAPTERS})\s+)?(?i:{_NUMERAL})\s*[.:]?", re.I)
SENTENCE_END = re.compile(r"[!?…;,。！？，、][\"”’»)]*$|[a-z]{2}\.[\"”’»)]*$")
FOOTNOTE = re.compile(r"\[Footnote\s+(?P<mark>\w{1,4}):?\s*(?P<text>.*)\]", re.S | re.I)
# How Aozora Bunko marks a heading.
AOZORA_HEADING = re.compile(r"［＃(?:「[^「」]*」は)?(?P<size>[大中小])見出し[^］]*］")
AOZORA_SIZES = {"大": 1, "中": 2, "小": 3}
# What those who made an ebook say of it.
CREDITS = re.compile(
    r"(?:this\s+e-?(?:book|text)\s+was\s+|e-?text\s+)?(?:produced|prepared|transcribed|scanned)"
    r"(?:\s+and\s+\w+)?\s+(?:by|from)\b|\[?transcriber'?s?'?\s+notes?\b",
    re.I,
)
ILLUSTRATION = re.compile(r"\[(?:Illustration|Picture|Image)(?::\s*(?P<text>.*))?\]", re.S | re.I)
_CJK = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True)
class Piece:
    """A piece of a plain-text book: `kind` is "heading", "paragraph", "verse" (lines), "contents",
    "credits", "footnote" or "illustration"; `level` is a heading's 1 to 3, `mark` a footnote's
    number."""

    kind: str
    text: str
    level: int = 0
    mark: str = ""


def lay_out(text: str) -> list[Piece]:
    """The pieces of a text in order; every visible character is in one of them."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n").split("\n")
    pieces = [_piece(group, width) for group, width in _groups(lines)]
    return _headings(pieces)


def _groups(lines: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """Lines that belong together, and the width of the text's column in characters."""
    lengths = sorted(len(line.rstrip()) for line in lines if line.strip())
    if not lengths:
        return
    width = lengths[min(len(lengths) * 95 // 100, len(lengths) - 1)]
    wrapped = width <= LONGEST_WRAPPED and not _ends_paragraphs_by_lines(lines)
    indented = _marks_paragraphs_by_indent(lines)
    group: list[str] = []
    for line in lines:
        begins = not wrapped or (indented and _indent(line) > 0)
        if group and (not line.strip() or begins):
            yield group, width
            group = []
        if line.strip():
            group.append(line)
    if group:
        yield group, width


def _ends_paragraphs_by_lines(lines: Sequence[str]) -> bool:
    """Whether most lines that have others below them end like sentences."""
    above = [line for line, below in pairwise(lines) if line.strip() and below.strip()]
    above = [line for line in above if not _level(line.strip())]
    ended = sum(LINE_END.search(line) is not None for line in above)
    return len(above) > 1 and ended >= ENDED_LINES * len(above)


def _indent(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def _marks_paragraphs_by_indent(lines: Sequence[str]) -> bool:
    """Whether paragraphs begin with an indent and no blank lines stand between them."""
    full = [line for line in lines if line.strip()]
    blank = sum(not line.strip() for line in lines)
    begins = sum(
        _indent(line) > 0 and _indent(above) == 0 and bool(above.strip())
        for above, line in pairwise(lines)
        if line.strip()
    )
    return len(full) > 5 and begins > 2 * blank and begins >= 0.05 * len(full)


def _piece(lines: Sequence[str], width: int) -> Piece:
    text = "\n".join(line.strip() for line in lines)
    if found := FOOTNOTE.fullmatch(text):
        return Piece("footnote", joined(found["text"].split("\n")), mark=found["mark"])
    if found := ILLUSTRATION.fullmatch(text):
        return Piece("illustration", joined((found["text"] or "").split("\n")))
    if CREDITS.match(text):
        return Piece("credits", joined(text.split("\n")))
    listed = sum(_level(line.strip()) > 0 for line in lines)
    if listed >= LEAST_LISTED:
        return Piece("contents", joined(text.split("\n")))
    if len(lines) > 1 and _is_verse(lines, width):
        return Piece("verse", text)
    return Piece("paragraph", joined(text.split("\n")))


def _is_verse(lines: Sequence[str], width: int) -> bool:
    """Whether line ends are the author's: short lines that begin anew."""
    short = all(len(line.strip()) < VERSE_WIDTH * width for line in lines)
    anew = sum(not line.strip()[:1].islower() for line in lines)
    return width >= 40 and short and anew >= 0.6 * len(lines) and _level(lines[0].strip()) == 0


def joined(lines: Sequence[str]) -> str:
    """Hard-wrapped lines as one: hyphens and dashes at line ends join, ideographs need no space."""
    text = ""
    for line in (line.strip() for line in lines):
        if not text or not line:
            text += line
            continue
        hyphen = text[-1] == "-" and text[-2:-1].isalpha() and line[0].islower()
        dash = text.endswith(("--", "—"))
        unspaced = _CJK.match(text[-1]) and _CJK.match(line[0])
        text += line if hyphen or dash or unspaced else f" {line}"
    return text


def _level(line: str) -> int:
    """1 for the heading of a part, 2 for that of a chapter, 0 for a line that is none."""
    if len(line) > LONGEST_HEADING or not (line[:1].isalpha()):
        return 0
    if found := NUMBERED_CJK.fullmatch(line):
        return 1 if found["part"] else 2
    if not line[:1].isupper():
        return 0
    found = NUMBERED.fullmatch(line)
    if found is None:
        return 2 if ALONE.fullmatch(line) else 0
    # "Part I" and "Chapter One. Home" are headings, "Part I played" and "Book one, then." are not.
    rest = found["rest"]
    title = rest.lstrip(" .:—–-")
    apart = rest[:1] in ".:—–-" or rest.lstrip()[:1] in "—–-("
    begins = not title[:1].islower() and (apart or not SENTENCE_END.search(title))
    if rest.strip(" .:") and not (begins and rest[:1] not in ",;"):
        return 0
    return 1 if found["part"] else 2


def _headings(pieces: Sequence[Piece]) -> list[Piece]:
    """Short paragraphs that are headings become such, and lists of headings contents."""
    told = [_heading_level(piece) for piece in pieces]
    for at, piece in enumerate(pieces):
        if marked := AOZORA_HEADING.search(piece.text):
            told[at] = AOZORA_SIZES[marked["size"]]
    if not any(
        level and not ALONE.fullmatch(p.text) for p, level in zip(pieces, told, strict=True)
    ):
        more = _numbered(pieces) or _shouted(pieces) or told
        told = [max(pair) for pair in zip(told, more, strict=True)]
    after = [
        piece
        for above, level, piece in zip(pieces, told, pieces[1:], strict=False)
        if level and BARE.fullmatch(above.text)
    ]
    titled = sum(map(_may_be_title, after)) >= MOST * len(after)
    found: list[Piece] = []
    for piece, level in zip(pieces, told, strict=True):
        if level:
            found.append(Piece("heading", piece.text.replace("\n", " "), level))
        elif found and _is_title_of(piece, found[-1], titled):
            found.append(Piece("heading", piece.text, 3))
        else:
            found.append(piece)
    return _without_lists(found)


def _heading_level(piece: Piece) -> int:
    if piece.kind not in ("paragraph", "verse") or len(piece.text) > 2 * LONGEST_HEADING:
        return 0
    first, _, rest = piece.text.partition("\n")
    if rest.count("\n") > 1:
        return 0
    return _level(first) if rest or piece.kind == "verse" else _level(piece.text)


def _numbered(pieces: Sequence[Piece]) -> list[int]:
    """Levels of paragraphs that are nothing but the numbers I, II, III or 1, 2, 3 in order."""
    places = [
        at
        for at, piece in enumerate(pieces)
        if piece.kind == "paragraph" and NUMERAL.fullmatch(piece.text)
    ]
    # The numbers of the chapters are those that count up from one; others are years or pages.
    counted: list[int] = []
    runs: list[list[int]] = [counted]
    for at in places:
        value = _value(pieces[at].text)
        if value == len(counted) + 1:
            counted.append(at)
        elif value == 1:  # a second part
            counted = [at]
            runs.append(counted)
    chosen = {at for run in runs if len(run) > 1 for at in run}
    return [2 if at in chosen else 0 for at in range(len(pieces))] if chosen else []


def _value(numeral: str) -> int:
    digits = numeral.rstrip(" .:")
    if digits.isdecimal():
        return int(digits)
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[d] for d in digits]
    following = [*values[1:], 0]
    return sum(-one if one < after else one for one, after in zip(values, following, strict=True))


def _shouted(pieces: Sequence[Piece]) -> list[int]:
    """Levels of short paragraphs in capitals, where a book has several of them and prose."""
    shouted = [
        piece.kind == "paragraph"
        and len(piece.text) <= LONGEST_HEADING // 2
        and piece.text.isupper()
        and sum(map(str.isalpha, piece.text)) > 3
        and not SENTENCE_END.search(piece.text)
        for piece in pieces
    ]
    few = sum(shouted) < LEAST_LISTED or sum(shouted) > 0.2 * len(pieces)
    return [0 if few else 2 * one for one in shouted]


def _may_be_title(piece: Piece) -> bool:
    text = piece.text
    short = piece.kind == "paragraph" and len(text) <= LONGEST_HEADING * 2 // 3
    return short and text[:1].isalpha() and not text[:1].islower() and not is_ornament(text)


def _is_title_of(piece: Piece, heading: Piece, titled: bool) -> bool:
    """Whether a paragraph right after "Chapter I" is that chapter's title.

    `titled` says that most chapters of the book have such a line.
    """
    if heading.kind != "heading" or heading.level > 2 or BARE.fullmatch(heading.text) is None:
        return False
    text = piece.text.rstrip(".")
    certain = text.isupper() or text.istitle() or not SENTENCE_END.search(piece.text)
    quoted = piece.kind == "paragraph" and text.strip('"“”').isupper() and text[:1] in '"“'
    return quoted or (_may_be_title(piece) and (titled or certain))


def _without_lists(pieces: list[Piece]) -> list[Piece]:
    """Headings that only list what comes later are a table of contents."""
    left = Counter(plain(piece.text) for piece in pieces if piece.kind == "heading")
    found: list[Piece] = []
    run: list[Piece] = []
    listed: list[int] = []
    for piece in [*pieces, Piece("paragraph", "")]:
        if piece.kind == "heading":
            name = plain(piece.text)
            left[name] -= 1
            if left[name]:
                listed.append(len(run))
            run.append(piece)
            continue
        last = listed[-1] if len(listed) >= LEAST_LISTED else -1
        found += [replace(one, kind="contents") for one in run[: last + 1]]
        found += [*run[last + 1 :], piece]
        run, listed = [], []
    return found[:-1]
