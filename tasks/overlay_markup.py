"""XHTML as it is written: where in the source each tag and each character of the tree stands."""

import codecs
import html
import re
from array import array
from dataclasses import dataclass, field
from html.entities import html5

from lxml import etree

from tasks.epub_markup import (
    CONTROLS,
    DOCTYPE,
    INTERNAL_ENTITY,
    XML_ENTITIES,
    local_name,
    parse,
    text_nodes,
)

# The name of a tag is group "name". Only well-formed sources are scanned, so nothing runs on.
_TOKEN = re.compile(
    r"<!--.*?-->|(?P<cdata><!\[CDATA\[.*?\]\]>)|<\?.*?\?>|(?i:"
    + DOCTYPE.pattern
    + r""")|<(?P<end>/?)(?P<name>[^\s<>/!?]+)(?:[^<>"']|"[^"]*"|'[^']*')*>""",
    re.S,
)
_UNIT = re.compile(
    rf"(?P<reference>&[^;&]+;)|(?P<line>\r\n?)|(?P<control>{CONTROLS.pattern})"
    rf"|(?:(?!{CONTROLS.pattern})[^&\r])+"
)
# EPUB allows no other encodings.
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (b"", "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Tag:
    """A tag, characters `start` to `end` of the source.

    `partner` is the number of the tag that closes or opens the same element, its own number for
    `<br/>`; `parent` that of the opening tag of the element around, -1 for the root.
    """

    start: int
    end: int
    name: str
    opening: bool
    partner: int
    parent: int
    element: etree._Element

    @property
    def prefix(self) -> str:
        """The namespace prefix with its colon, or ""."""
        return self.name[: self.name.find(":") + 1]


@dataclass
class TextNode:
    """A text of the tree; character i of `text` is written from `starts[i]` to `ends[i]`.

    Characters that are written together (an entity, a CDATA section) have the same place. `parent`
    is the number of the opening tag of the element around.
    """

    parent: int
    text: str
    starts: "array[int]"
    ends: "array[int]"


@dataclass
class Source:
    """A document: its text, its tags in order, and its text nodes as `text_nodes` counts them."""

    text: str
    tags: list[Tag] = field(default_factory=list)
    nodes: list[TextNode] = field(default_factory=list)


def read_markup(content: bytes) -> tuple[str, bytes, str] | None:
    """(text, byte order mark, encoding) of a file in UTF-8 or UTF-16, None for any other."""
    for mark, encoding in _ENCODINGS:
        if content.startswith(mark):
            try:
                text = content[len(mark) :].decode(encoding)
            except UnicodeDecodeError:
                continue
            # A declaration of another encoding that the bytes happen to fit.
            told = re.match(r"""\s*<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)""", text)
            if told is None or told[1].lower().startswith(("utf-", "utf8", "us-ascii")):
                return text, mark, encoding
    return None


def scan(text: str, is_html: bool = True) -> Source | None:
    """Where everything stands, or None for what is not well-formed or not plain enough to say."""
    root, well_formed = parse(text, is_html)
    if not well_formed:
        return None
    source = _Scanner(text, root).run()
    if source is None:
        return None
    told = [node for _, _, node in text_nodes(root)]
    return source if [node.text for node in source.nodes] == told else None


class _Scanner:
    """Goes through a source once; its text nodes are cut where a tag stands."""

    def __init__(self, text: str, root: etree._Element) -> None:
        self.text = text
        self.source = Source(text)
        self.elements = root.iter()
        self.own: dict[str, str] = {}
        self.open: list[int] = []
        self.letters: list[str] = []
        self.starts: array[int] = array("q")
        self.ends: array[int] = array("q")

    def run(self) -> Source | None:
        at = 0
        for token in _TOKEN.finditer(self.text):
            if self.open:
                self._plain(at, token.start())
            at = token.end()
            if token["cdata"] is not None and self.open:
                content = CONTROLS.sub("", token[0][9:-3]).replace("\r\n", "\n")
                self._written(content.replace("\r", "\n"), token.start(), token.end())
            elif token["name"] is not None:
                self._cut()
                if not self._tag(token):
                    return None
            elif token["subset"]:
                for name, double, single in INTERNAL_ENTITY.findall(token["subset"]):
                    self.own.setdefault(name, double or single)
        return None if self.open or next(self.elements, None) is not None else self.source

    def _tag(self, token: re.Match[str]) -> bool:
        """Note a tag; False where tree and source do not agree."""
        tags, number = self.source.tags, len(self.source.tags)
        name, start, end = token["name"], token.start(), token.end()
        if token["end"]:
            if not self.open:
                return False
            first = self.open.pop()
            opened = tags[first]
            tags[first] = Tag(
                opened.start, opened.end, name, True, number, opened.parent, opened.element
            )
            tags.append(Tag(start, end, name, False, first, opened.parent, opened.element))
            return opened.name == name
        element = next(self.elements, None)
        if element is None or local_name(element) != name.rpartition(":")[2].lower():
            return False
        parent = self.open[-1] if self.open else -1
        tags.append(Tag(start, end, name, True, number, parent, element))
        if not token[0].endswith("/>"):
            self.open.append(number)
        return True

    def _plain(self, start: int, end: int) -> None:
        for unit in _UNIT.finditer(self.text, start, end):
            if unit["reference"]:
                self._written(self._meaning(unit[0][1:-1]), unit.start(), unit.end())
            elif unit["line"]:
                self._written("\n", unit.start(), unit.end())
            elif not unit["control"]:
                self.letters.append(unit[0])
                self.starts.extend(range(unit.start(), unit.end()))
                self.ends.extend(range(unit.start() + 1, unit.end() + 1))

    def _meaning(self, name: str) -> str:
        if name.startswith("#"):
            number = int(name[2:], 16) if name[1] == "x" else int(name[1:])
            return chr(number)
        if name in XML_ENTITIES:
            return html.unescape(f"&{name};")
        return self.own.get(name, html5.get(f"{name};", ""))

    def _written(self, text: str, start: int, end: int) -> None:
        """Characters that stand together in one place of the source."""
        self.letters.append(text)
        self.starts.extend([start] * len(text))
        self.ends.extend([end] * len(text))

    def _cut(self) -> None:
        text = "".join(self.letters)
        if text:
            self.source.nodes.append(TextNode(self.open[-1], text, self.starts, self.ends))
            self.starts, self.ends = array("q"), array("q")
        self.letters.clear()
