"""What style sheets hide is not read; what they only style is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.epub_markup import local_name, parse
from tasks.epub_styles import hidden_elements
from tasks.read_book import read_book

Epub = Callable[..., Path]
BODY = (
    "<p id='one' class='a b'>x<span class='c'>y</span></p><div><p class='c'>z</p></div>"
    "<br class='c'/>"
)


def hidden(css: str, sheets: dict[str, str] | None = None) -> list[str]:
    links = "".join(f"<link rel='stylesheet' href='{name}'/>" for name in sheets or {})
    head = f"<head>{links}<style>{css}</style></head>"
    html = f"<html xmlns='http://www.w3.org/1999/xhtml'>{head}<body>{BODY}</body></html>"
    found = hidden_elements(parse(html)[0], (sheets or {}).get)
    return sorted(f"{local_name(element)}.{element.get('class')}" for element in found)


@pytest.mark.parametrize(
    ("css", "expected"),
    [
        (".c { display: none }", ["p.c", "span.c"]),
        ("p .c, #two { visibility: hidden }", ["span.c"]),
        ("div > p { display: none !important } .c { display: block }", ["p.c"]),
        (".c { display: none } div .c { display: block }", ["span.c"]),
        (".c { display: none } .c { display: inline }", []),
        ("#one { display: none }", ["p.a b"]),
        ("@media print { .c { display: none } }", []),
        ("@media screen { span { display: none } }", ["span.c"]),
        ("@media amzn-mobi { .c { display: none } }", []),
        (".c:hover, p ~ div, p:first-child { display: none }", []),
        (".c::before { display: none }", []),
        (".c { color: red }", []),
        ("} p { display: none }} garbage {{{", []),
        ("@namespace epub 'http://www.idpf.org/2007/ops'; [epub|type] { display: none }", []),
    ],
)
def test_rules(css: str, expected: list[str]) -> None:
    assert hidden(css) == expected


def test_linked_and_imported_sheets() -> None:
    sheets = {"a.css": "@import 'b.css'; @import 'a.css'; p { color: red }"}
    sheets["b.css"] = ".c { display: none }"
    link = "<link rel='stylesheet' href='a.css'/>"
    root = parse(f"<html><head>{link}</head><body><i class='c'/></body></html>")[0]
    assert [local_name(one) for one in hidden_elements(root, sheets.get)] == ["i"]
    assert hidden("", {"gone.css": ""}) == []


def test_deep_trees_are_no_danger() -> None:
    depth = 3000
    head = "<head><style>div div p { display: none }</style></head>"
    body = "<div>" * depth + "<p>x</p>" + "</div>" * depth
    root = parse(f"<html>{head}<body>{body}</body></html>")[0]
    assert hidden_elements(root, lambda link: None) == set()


def test_a_book_with_hidden_text(epub: Epub) -> None:
    page = (
        "<html><head><link rel='stylesheet' href='x.css'/></head><body><p>seen</p>"
        "<p class='gone'>hidden</p></body></html>"
    )
    files = {"OEBPS/x.css": ".gone { display: none }"}
    book = read_book(epub({"a.xhtml": page}, files=files))
    assert [block.text for block in book.chapters[0].blocks] == ["seen"]
