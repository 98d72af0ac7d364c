"""Books that are one file: plain text, Markdown and HTML become a document like one of an EPUB."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

import yaml
from charset_normalizer import from_bytes
from lxml import etree
from markdown_it import MarkdownIt
from mdit_py_plugins.footnote import footnote_plugin

from configs.errors import UserError
from tasks.epub_chapters import GUTENBERG_END, GUTENBERG_START
from tasks.epub_fold import fold_text
from tasks.epub_guard import CONVERT, MAX_MEMBER_BYTES
from tasks.epub_markup import BOMS, XML, local_name, named, parse, text_nodes
from tasks.epub_markup import decode as decode_markup
from tasks.epub_text import HEADINGS
from tasks.epub_toc import TocEntry
from tasks.text_layout import Piece, lay_out

HTML_NAMES = {".htm", ".html", ".xht", ".xhtml"}
MARKDOWN_NAMES = {".markdown", ".md", ".mdown", ".mkd"}
OPENINGS = 4096
# So much of a file is looked at to find out its encoding.
SAMPLE = 200_000
HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*|<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html)\b", re.S | re.I
)
DECLARED = re.compile(rb"<meta[^>]+charset|<\?xml[^>]+encoding", re.I)
MARKDOWN = re.compile(r"^(?:#{1,3} \S|={3,}$)", re.M)
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*\n", re.S)
LONGEST_FRONT_MATTER = 10_000
CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Ebooks of Project Gutenberg say what they are at the top.
HEADER = re.compile(r"^(Title|Author|Language|Release Date):[ \t]*(\S.*)$", re.M)
HEADER_LENGTH = 20_000
LANGUAGES = {
    "chinese": "zh",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "latin": "la",
    "polish": "pl",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
}
# Scripts that one language among those that are read writes, the telling one first.
SCRIPTS = (
    ("ja", re.compile(r"[\u3041-\u30fa]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
)
# What a text may be in whose encoding is told by nothing but that it can be read.
SCRIPT_ENCODINGS = (
    ("cp932", re.compile(r"[\u3041-\u3093]{2}")),
    ("gb18030", re.compile(r"[\u4e00-\u9fff]{2}")),
)
SCRIPT_SHARE = 0.05
GUTENBERG_TITLE = re.compile(r"^(?:The )?Project Gutenberg (?:eBook|Etext) (?:of )?,?\s*", re.I)
# Readings and words to the typesetter as Aozora Bunko writes them.
AOZORA_RUBY = re.compile(
    r"(?:｜([^｜《》\n]{1,30})|([\u3400-\u9fff々〆ヶ]{1,30}))《([^《》\n<>]{1,40})》"
)
AOZORA_MARK = re.compile(r"［＃[^［］]{1,200}］")
FOOTNOTE_MARK = re.compile(r"\[(\w{1,4})\]")
EMPHASIS = re.compile(r"(?<!\w)_(?=\S)([^_\n]{1,400}?)(?<=\S)_(?!\w)")
# Headings that leave more of the text than this in one piece are not those of the chapters alone;
# lower ones must cut it to so much of that.
LARGEST_SHARE = 0.4
MOST = 0.8
PARTS = re.compile(r"\s*(?:book|part|volume|act|buch|teil|partie|livre|parte)\b", re.I)


@dataclass
class PlainBook:
    """A book that is one document: its tree, where its chapters begin, and what it says of itself.

    `path` is the name by which `toc` knows the document.
    """

    path: str
    root: etree._Element
    toc: list[TocEntry]
    title: str = ""
    authors: tuple[str, ...] = ()
    language: str = ""
    date: str = ""
    description: str = ""
    warnings: list[str] = field(default_factory=list)


def read_plain(path: Path) -> PlainBook:
    """Read a text, Markdown or HTML file, whichever it is by its content.

    Raises UserError with one sentence for a file that is no text.
    """
    if path.stat().st_size > MAX_MEMBER_BYTES:
        raise UserError(f"{path.name} is larger than any book; cut it into parts.")
    content = path.read_bytes()
    text = _decode(path, content)
    if HTML.match(text[:OPENINGS]) or path.suffix.lower() in HTML_NAMES:
        return _from_html(path, decode_markup(content) if DECLARED.search(content[:2048]) else text)
    if path.suffix.lower() in MARKDOWN_NAMES or len(MARKDOWN.findall(text[:SAMPLE])) > 1:
        return _from_markdown(path, text)
    return _from_text(path, text)


def _decode(path: Path, content: bytes) -> str:
    """A file's text by its byte order mark, as UTF-8, or as its bytes look like."""
    head = content[:16]
    unknown = UserError(
        f"{path.name} is no book that can be read; give an EPUB, text, Markdown or HTML file, or"
        f" {CONVERT}."
    )
    kinds = {
        b"%PDF": "a PDF",
        b"{\\rtf": "a Rich Text document",
        b"\xd0\xcf\x11\xe0": "a Word document",
        b"\xff\xd8\xff": "a picture",
        b"\x89PNG": "a picture",
        b"ID3": "a sound file",
        b"RIFF": "a sound file",
        b"fLaC": "a sound file",
        b"OggS": "a sound file",
    }
    if content[60:68] in (b"BOOKMOBI", b"TEXtREAd"):
        raise UserError(f"{path.name} is a Kindle or Mobipocket book; {CONVERT}.")
    for start, kind in kinds.items():
        if head.startswith(start):
            raise UserError(f"{path.name} is {kind}, not an EPUB, text or HTML; {CONVERT}.")
    text = ""
    for mark, encoding in BOMS:
        if content.startswith(mark):
            text = content[len(mark) :].decode(encoding, errors="replace")
            break
    else:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            encoding = _guess(content)
            if not encoding:
                raise unknown from None
            text = content.decode(encoding, errors="replace")
    if len(CONTROLS.findall(text[:SAMPLE])) > 0.001 * len(text[:SAMPLE]):
        raise unknown
    if "<FictionBook" in text[:OPENINGS]:
        raise UserError(f"{path.name} is a FictionBook; {CONVERT}.")
    return CONTROLS.sub("", text)


def _guess(content: bytes) -> str:
    """The encoding that a text's bytes look like, or ""."""
    # A character must not be cut in two.
    end = content.rfind(b"\n", 0, SAMPLE) if len(content) > SAMPLE else len(content)
    sample = content[: end if end > 0 else SAMPLE]
    if (guess := from_bytes(sample).best()) is not None:
        return guess.encoding
    for encoding, script in SCRIPT_ENCODINGS:
        with suppress(UnicodeDecodeError):
            if script.search(sample.decode(encoding)):
                return encoding
    return ""


def _from_html(path: Path, text: str) -> PlainBook:
    root, well_formed = parse(text)
    heads = named(root, "title")
    title = fold_text("".join(heads[0].itertext())) if heads else ""
    told: dict[str, str] = {}
    for meta in named(root, "meta"):
        name = (meta.get("name") or meta.get("property") or "").lower()
        name = name.removeprefix("dc.").removeprefix("og:")
        told.setdefault(name, fold_text(meta.get("content", "")))
    author = told.get("author") or told.get("creator") or ""
    if title != (bare := GUTENBERG_TITLE.sub("", title)):
        title, _, by = bare.rpartition(", by ")
        title, author = title or by, author or (by if title else "")
    language = root.get("lang") or root.get(f"{{{XML}}}lang") or told.get("language", "")
    book = _with_contents(path, root, title or told.get("title", ""))
    book.authors = (author,) if author else ()
    book.language = language
    _add_header(book, text)
    book.language = book.language or _script(text)
    book.description = told.get("description", "")
    if not well_formed and path.suffix.lower() in (".xhtml", ".xht"):
        book.warnings.append(f"{path.name} is not well-formed; it is read as browsers read it.")
    return book


def _from_markdown(path: Path, text: str) -> PlainBook:
    """CommonMark with tables, footnotes and a front matter of YAML."""
    told: dict[str, object] = {}
    if front := FRONT_MATTER.match(text[:LONGEST_FRONT_MATTER]):
        loaded: object = None
        with suppress(yaml.YAMLError, ValueError, RecursionError):
            loaded = yaml.safe_load(front[1])
        if isinstance(loaded, dict):
            told, text = loaded, text[front.end() :]
    reader = MarkdownIt("commonmark", {"html": True}).enable("table").use(footnote_plugin)
    root, _ = parse(f"<html><body>{reader.render(text)}</body></html>")
    authors = told.get("author") or told.get("authors") or ()
    names = authors if isinstance(authors, list) else [authors] if authors else []
    book = _with_contents(path, root, fold_text(str(told.get("title") or "")))
    book.authors = tuple(fold_text(str(name)) for name in names)
    book.language = str(told.get("lang") or told.get("language") or "") or _script(text)
    book.date = str(told.get("date") or "")
    return book


def _from_text(path: Path, text: str) -> PlainBook:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    begin, end = 0, len(text)
    for line in re.finditer(r"^.*$", text, re.M):
        if GUTENBERG_START.search(line[0]) and line.end() < HEADER_LENGTH:
            begin = line.end()
        elif GUTENBERG_END.match(line[0]) and line.start() > begin:
            end = line.start()
            break
    licence = [Piece("credits", one) for one in (text[:begin], text[end:])]
    pieces = [licence[0], *lay_out(text[begin:end]), licence[1]]
    marks = {piece.mark for piece in pieces if piece.kind == "footnote"}
    body = "".join(_markup(piece, marks) for piece in pieces)
    root, _ = parse(f"<html><body>{body}</body></html>")
    book = _with_contents(path, root, "")
    _add_header(book, text)
    book.language = book.language or _script(text)
    return book


def _add_header(book: PlainBook, text: str) -> None:
    """What the header of Project Gutenberg says of a book, where the book itself does not."""
    told = HEADER.findall(text[:HEADER_LENGTH])
    if "Gutenberg" not in text[:HEADER_LENGTH]:
        return
    for name, value in told:
        value = fold_text(value)
        if name == "Title":
            book.title = value
        elif name == "Author":
            book.authors = (value,)
        elif name == "Language":
            book.language = book.language or LANGUAGES.get(value.lower(), "")


def _markup(piece: Piece, marks: set[str]) -> str:
    """A piece of plain text as XHTML: underscores for emphasis go, notes and their marks meet."""
    text = escape(EMPHASIS.sub(r"\1", piece.text))
    text = AOZORA_RUBY.sub(r"<ruby>\1\2<rt>\3</rt></ruby>", AOZORA_MARK.sub("", text))
    text = FOOTNOTE_MARK.sub(
        lambda found: (
            f'<a role="doc-noteref" href="#footnote-{found[1]}">{found[0]}</a>'
            if found[1] in marks
            else found[0]
        ),
        text,
    )
    if piece.kind == "heading":
        return f"<h{piece.level}>{text}</h{piece.level}>"
    if piece.kind == "verse":
        return f'<p class="verse">{text.replace(chr(10), "<br/>")}</p>'
    if piece.kind == "contents":
        return f'<p role="doc-toc">{text}</p>'
    if piece.kind == "credits":
        return f'<p class="pg-boilerplate">{text}</p>'
    if piece.kind == "footnote":
        return f'<aside role="doc-footnote" id="footnote-{piece.mark}">{text}</aside>'
    if piece.kind == "illustration":
        return f'<p><img alt="{text}"/></p>'
    return f"<p>{text}</p>"


def _with_contents(path: Path, root: etree._Element, title: str) -> PlainBook:
    """A book whose chapters begin at its highest headings.

    Lower ones count, too, where the higher are parts ("Part One") or leave most of the text in one
    piece. A single heading above all is the book's title where it has no other.
    """
    heads = [(HEADINGS[local_name(head)], head) for head in named(root, *HEADINGS)]
    if not heads:
        return PlainBook(path.name, root, [], title)
    levels = sorted({level for level, _ in heads})
    first = [head for level, head in heads if level == levels[0]]
    if len(first) == 1 and not title:
        title = fold_text("".join(first[0].itertext()))
    sizes = _sizes(root)
    lowest = 0
    for level in levels:
        chosen = [head for one, head in heads if one <= level]
        parts = sum(PARTS.match("".join(head.itertext())) is not None for head in chosen)
        longest = _longest(chosen, sizes)
        if not lowest or longest < MOST * _longest([h for o, h in heads if o <= lowest], sizes):
            lowest = level
        if len(chosen) > 1 and longest <= LARGEST_SHARE * sizes[root] and parts <= len(chosen) / 2:
            break
    toc: list[TocEntry] = []
    above: list[tuple[int, str]] = []
    for number, (level, head) in enumerate(heads):
        if level > lowest:
            continue
        label = fold_text("".join(head.itertext()))
        head.set("id", head.get("id") or f"heading-{number}")
        above = [(one, name) for one, name in above if one < level]
        parents = tuple(name for _, name in above if name != title)
        toc.append(TocEntry(label, path.name, head.get("id", ""), parents))
        above.append((level, label))
    return PlainBook(path.name, root, toc if len(toc) > 1 else [], title)


def _sizes(root: etree._Element) -> dict[etree._Element, int]:
    """How many characters of the text stand before each heading, and in `root` all of them."""
    sizes: dict[etree._Element, int] = {}
    total = 0
    for element, _, text in text_nodes(root):
        if local_name(element) in HEADINGS:
            sizes.setdefault(element, total)
        total += len(text)
    for head in named(root, *HEADINGS):
        sizes.setdefault(head, total)  # without a text
    sizes[root] = total
    return sizes


def _longest(heads: Sequence[etree._Element], sizes: dict[etree._Element, int]) -> int:
    """The characters of the longest piece of the text that these headings cut."""
    places = [0, *(sizes[head] for head in heads), max(sizes.values())]
    return max(after - before for before, after in pairwise(places))


def _script(text: str) -> str:
    """The language of a text by its letters; "" where they do not tell."""
    sample = text[:SAMPLE]
    letters = sum(map(str.isalpha, sample))
    for language, script in SCRIPTS:
        if len(script.findall(sample)) > SCRIPT_SHARE * max(letters, 1):
            return language
    return ""
