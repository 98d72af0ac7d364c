"""Where the characters of a book's text stand in its documents."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.epub_fold import fold_text
from tasks.epub_guard import open_archive
from tasks.epub_markup import parse, text_nodes
from tasks.epub_text import Origin, Passage, extract
from tasks.read_book import Block, read_book

SLOW = ("pp", "se_mary-shelley_frankenstein")
BOOKS = ["rc_japanese", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
TEXT = st.text(st.sampled_from("ab.  \n\u00ad\u00a0ﬃ漢&"), min_size=1, max_size=8)


def check(place: Block | Passage, nodes: list[str]) -> int:
    """Each origin's characters are its node's; returns how many characters have one."""
    covered = 0
    for origin in place.origins:
        assert origin.length > 0 and origin.start >= covered
        covered = origin.start + origin.length
        raw = nodes[origin.node][origin.offset : origin.offset + origin.length]
        assert len(raw) == origin.length
        for letter, source in zip(place.text[origin.start : covered], raw, strict=True):
            assert letter in fold_text(source) or (letter == " " and source.isspace())
    ends = [(origin.node, origin.offset + origin.length - 1) for origin in place.origins]
    assert ends == sorted(ends)
    assert covered <= len(place.text)
    return sum(origin.length for origin in place.origins)


def test_text_nodes_are_counted_in_document_order() -> None:
    root = parse("<html><body>a<p>b<!-- no -->c<i/>d</p><?no?><p/>e</body></html>")[0]
    assert [text for _, _, text in text_nodes(root)] == ["a", "bc", "d", "e"]
    found = extract(root).passages
    assert [passage.origins for passage in found] == [
        (Origin(0, 1, 0, 0),),
        (Origin(0, 2, 1, 0), Origin(2, 1, 2, 0)),
        (Origin(0, 1, 3, 0),),
    ]


def test_what_is_folded_away_parts_the_origins() -> None:
    root = parse("<p>co\u00adop  up\nit</p>")[0]
    assert extract(root).passages[0].origins == (
        Origin(0, 2, 0, 0),
        Origin(2, 3, 0, 3),
        Origin(5, 5, 0, 7),
    )


@given(st.lists(st.tuples(st.sampled_from(["", "b", "br", "p", "a", "sup", "h1"]), TEXT)))
def test_every_character_says_where_it_stands(parts: list[tuple[str, str]]) -> None:
    body = "".join(
        text.replace("&", "&#38;") + (f"<{name}/>" if name == "br" else "")
        if name in ("", "br")
        else f"<{name}>{text.replace('&', '&#38;')}<i>{text.replace('&', '&amp;')}</i></{name}>"
        for name, text in parts
    )
    root, well_formed = parse(f"<html><body>{body}</body></html>")
    nodes = [text for _, _, text in text_nodes(root)]
    for passage in extract(root).passages:
        if passage.kind == "scene_break":
            continue
        spaces = passage.text.count(" ")  # the one for a line break stands in no node
        assert well_formed and check(passage, nodes) >= len(passage.text) - spaces


def test_a_block_names_its_file(epub: Callable[..., Path]) -> None:
    path = epub({"a.xhtml": "<h1>One</h1><p>Tea &amp; <b>toast</b></p>"})
    heading, paragraph = read_book(path).chapters[0].blocks
    assert heading.document == paragraph.document == "OEBPS/a.xhtml"
    assert [(origin.start, origin.length) for origin in paragraph.origins] == [(0, 6), (6, 5)]


@pytest.mark.parametrize("name", BOOKS)
def test_real_books(shared: Path, name: str) -> None:
    path = shared / "books" / f"{name}.epub"
    book = read_book(path)
    nodes: dict[str, list[str]] = {}
    with open_archive(path) as archive:
        for chapter in book.chapters:
            for block in chapter.blocks:
                if block.kind == "scene_break":
                    continue
                if block.document not in nodes:
                    root = parse(archive.read(block.document) or b"")[0]
                    nodes[block.document] = [text for _, _, text in text_nodes(root)]
                covered = check(block, nodes[block.document])
                assert covered >= 0.9 * len(block.text)
