"""A book's XML and XHTML as trees: forgiving about defects, deaf to external entities."""

import codecs
import re
from collections.abc import Iterator
from html.entities import html5

from lxml import etree, html

OPS = "http://www.idpf.org/2007/ops"
XML = "http://www.w3.org/XML/1998/namespace"
XML_ENTITIES = {"amp", "lt", "gt", "quot", "apos"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"}
VOID |= {"source", "track", "wbr"}

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DECLARED = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?\s*([A-Za-z0-9._:-]+)""")
PROLOGUE = re.compile(r"^\s*<\?xml[^>]*\?>")
DOCTYPE = re.compile(
    r"<!DOCTYPE\b(?:[^\[>\"']|\"[^\"]*\"|'[^']*')*(?:\[(?P<subset>.*?)\]\s*)?>", re.S | re.I
)
INTERNAL_ENTITY = re.compile(
    r"""<!ENTITY\s+([\w.-]+)\s+(?:"([^"<&%]{0,999})"|'([^'<&%]{0,999})')\s*>"""
)
# What is opened and never closed runs to the end, so that nothing is searched twice.
REFERENCE = re.compile(r"<!\[CDATA\[(?:.*?\]\]>|.*)|<!--(?:.*?-->|.*)|&([A-Za-z][\w.-]*);", re.S)
SELF_CLOSED = re.compile(r"<([A-Za-z][\w:.-]*)((?:[^<>\"']|\"[^<\"]*\"|'[^<']*')*)/>")
# XML 1.0 forbids these even as references; browsers ignore them.
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def decode(content: bytes) -> str:
    """The text of a markup file by its byte order mark, its declaration, or as UTF-8."""
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if content[:4] == b"<\0?\0" or content[:4] == b"\0<\0?":
        return content.decode("utf-16-le" if content[0] else "utf-16-be", errors="replace")
    declared = DECLARED.search(content[:1024])
    for encoding in ([declared[1].decode("ascii")] if declared else []) + ["utf-8"]:
        try:
            return content.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
    return content.decode("windows-1252", errors="replace")


def parse(content: bytes | str, is_html: bool = True) -> tuple[etree._Element, bool]:
    """Parse XHTML, or other XML; returns (root element, whether it was well-formed).

    The document type is cut off before parsing, so nothing external can be named, and named
    entities (`&nbsp;`, `&eacute;`) become their characters. XHTML that is not well-formed goes
    through the HTML parser, other XML is read as far as it goes; an unreadable file gives an
    empty root.
    """
    text = decode(content) if isinstance(content, bytes) else content
    text = CONTROLS.sub("", PROLOGUE.sub("", text))
    begin = re.search("<!DOCTYPE", text, re.I)
    doctype = DOCTYPE.match(text, begin.start()) if begin else None
    own: dict[str, str] = {}
    if doctype:
        for name, double, single in INTERNAL_ENTITY.findall(doctype["subset"] or ""):
            own.setdefault(name, double or single)
        text = text[: doctype.start()] + text[doctype.end() :]
    text = REFERENCE.sub(lambda match: _resolve(match, own), text).strip()
    try:
        return etree.fromstring(text.encode("utf-8"), _xml_parser(recover=False)), True
    except etree.XMLSyntaxError:
        return (_parse_html(text) if is_html else _recover_xml(text)), False


def _xml_parser(recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )


def _recover_xml(text: str) -> etree._Element:
    try:
        root = etree.fromstring(text.encode("utf-8"), _xml_parser(recover=True))
    except etree.XMLSyntaxError:
        root = None
    return etree.Element("empty") if root is None else root


def _resolve(match: re.Match[str], own: dict[str, str]) -> str:
    name = match[1]
    if name is None or name in XML_ENTITIES:
        return match[0]
    # An entity that nobody declares, or an external one, stands for nothing.
    return own.get(name, html5.get(f"{name};", "")).replace("&", "&amp;").replace("<", "&lt;")


def _parse_html(text: str) -> etree._Element:
    # To an HTML parser <title/> or <a id="x"/> is an open tag that swallows what follows.
    text = SELF_CLOSED.sub(
        lambda match: (
            match[0] if match[1].lower() in VOID else f"<{match[1]}{match[2]}></{match[1]}>"
        ),
        text,
    )
    parser = html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        return html.document_fromstring(text.encode("utf-8"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return etree.Element("html")


def local_name(element: etree._Element) -> str:
    """The element's name in lower case without namespace or prefix."""
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


def types_of(element: etree._Element) -> set[str]:
    """The words of `epub:type` and `role` (without `doc-`), in lower case."""
    kinds = element.get(f"{{{OPS}}}type") or element.get("epub:type") or ""
    roles = [role.removeprefix("doc-") for role in element.get("role", "").lower().split()]
    return {*kinds.lower().split(), *roles}


def classes_of(element: etree._Element) -> set[str]:
    """The element's classes in lower case."""
    return set(element.get("class", "").lower().split())


def named(root: etree._Element, *names: str) -> list[etree._Element]:
    """All elements below `root` with one of these local names, in document order."""
    return [element for element in root.iter() if local_name(element) in names]


def text_nodes(root: etree._Element) -> Iterator[tuple[etree._Element, bool, str]]:
    """The tree's texts in document order: (element, whether it is the element's tail, text).

    An element's text comes before its children, its tail after it; empty ones are not there. Their
    order is what `Origin.node` counts.
    """
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tail = event == "end"
        text = element.tail if tail else element.text
        if text and not (tail and element is root):
            yield element, tail, text
