"""Pronunciation lexicons of books become remarks on their words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.book import Remark
from tasks.epub_lexicon import lexicon_remarks, read_lexicon
from tasks.read_book import read_book

Epub = Callable[..., Path]
PLS = (
    '<lexicon xmlns="http://www.w3.org/2005/01/pronunciation-lexicon" version="1.0"'
    ' alphabet="ipa" xml:lang="{}">{}</lexicon>'
)


def lexicon(*pairs: tuple[str, str], language: str = "en"):
    lexemes = "".join(
        f"<lexeme><grapheme>{printed}</grapheme>{said}</lexeme>" for printed, said in pairs
    )
    return read_lexicon(PLS.format(language, lexemes).encode())


def said(text: str, *pairs: tuple[str, str]) -> list[tuple[str, str]]:
    found = lexicon_remarks(text, "en", (), [lexicon(*pairs)])
    return [(text[one.start : one.end], one.phonemes or one.said) for one in found]


TOMATO = ("tomato", "<phoneme>təˈmɑːtəʊ</phoneme>")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A tomato, a tomato.", ["tomato", "tomato"]),
        ("Tomato tomatoes tomato's automato", []),
        ("(tomato)", ["tomato"]),
    ],
)
def test_whole_words_in_their_case(text: str, words: list[str]) -> None:
    assert [word for word, _ in said(text, TOMATO)] == words


def test_the_longer_form_and_the_alias() -> None:
    pairs = [("W3C", "<alias>World Wide Web Consortium</alias>"), TOMATO]
    pairs.append(("tomato soup", "<alias>broth</alias>"))
    assert said("W3C tomato soup", *pairs) == [
        ("W3C", "World Wide Web Consortium"),
        ("tomato soup", "broth"),
    ]


def test_ideographs_need_no_spaces() -> None:
    tokyo = lexicon(("東京", "<alias>とうきょう</alias>"), language="ja")
    found = lexicon_remarks("私は東京へ", "ja", (), [tokyo])
    assert [(one.start, one.end, one.said) for one in found] == [(2, 4, "とうきょう")]


def test_the_preferred_pronunciation_and_known_alphabets() -> None:
    two = '<phoneme>a</phoneme><phoneme prefer="true" alphabet="x-sampa">b</phoneme>'
    found = lexicon_remarks("x y", "en", (), [
        lexicon(("x", two), ("y", '<phoneme alphabet="x-other">c</phoneme>'))
    ])  # fmt: skip
    assert [(one.phonemes, one.alphabet) for one in found] == [("b", "x-sampa")]


def test_only_words_of_its_language_and_what_the_text_says_goes_first() -> None:
    known = (Remark(0, 6, language="fr"), Remark(7, 13, phonemes="x", alphabet="ipa"))
    found = lexicon_remarks("tomato tomato tomato", "en", known, [lexicon(TOMATO)])
    assert [one.start for one in found] == [14]


def test_damaged_lexicons_say_nothing() -> None:
    assert read_lexicon(b"\x00nonsense").lexemes == {}
    assert lexicon(("", "<phoneme>a</phoneme>"), ("x", "")).lexemes == {}


@given(st.text(st.sampled_from("ab '’-東京"), max_size=30))
def test_remarks_lie_in_the_text_and_apart(text: str) -> None:
    pairs = [("a", "<alias>1</alias>"), ("ab", "<alias>2</alias>"), ("東京", "<alias>3</alias>")]
    found = lexicon_remarks(text, "en", (), [lexicon(*pairs)])
    after = 0
    for one in found:
        assert after <= one.start < one.end <= len(text)
        assert text[one.start : one.end] in ("a", "ab", "東京")
        after = one.end


def test_linked_lexicons_else_those_of_the_manifest(epub: Epub) -> None:
    pls = PLS.format("en", "<lexeme><grapheme>tomato</grapheme><phoneme>t</phoneme></lexeme>")
    other = pls.replace("<phoneme>t", "<phoneme>z")
    manifest = '<item id="o" href="o.pls" media-type="application/pls+xml"/>'
    manifest += '<item id="l" href="l.pls" media-type="application/pls+xml"/>'
    link = '<link rel="pronunciation" type="application/pls+xml" href="l.pls"/>'
    pages = {
        "a.xhtml": f"<html><head>{link}</head><body><p>tomato</p></body></html>",
        "b.xhtml": "<h1>Two</h1><p>A tomato</p>",
    }
    files = {"OEBPS/l.pls": pls, "OEBPS/o.pls": other}
    book = read_book(epub(pages, manifest=manifest, files=files))
    blocks = [block for chapter in book.chapters for block in chapter.blocks]
    assert blocks[0].remarks == (Remark(0, 6, phonemes="t", alphabet="ipa"),)
    assert blocks[2].remarks == (Remark(2, 8, phonemes="z", alphabet="ipa"),)


def test_a_real_lexicon(shared: Path) -> None:
    book = read_book(shared / "books" / "idpf_georgia-pls-ssml.epub")
    spoken: dict[str, set[str]] = {}
    for block in (block for chapter in book.chapters for block in chapter.blocks):
        for one in block.remarks:
            spoken.setdefault(block.text[one.start : one.end], set()).add(one.phonemes)
    assert spoken["30°"] == {"ˈθɜrti dɪˈgriz"}  # ssml:ph
    assert spoken["Altamaha"] == {"ˈɔltəməˌhɔ"}  # the lexicon
