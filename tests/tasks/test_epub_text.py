"""Passages of a document: every text once, nothing added, nothing that is only for the eye."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tasks.epub_markup import parse
from tasks.epub_text import Extract, extract, is_ornament

HTML = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'


def read(body: str, *starts: str) -> Extract:
    return extract(
        parse(f"{HTML}<head><title>No</title></head><body>{body}</body></html>")[0], starts
    )


def texts(body: str) -> list[str]:
    return [passage.text for passage in read(body).passages]


def kinds(body: str) -> list[tuple[str, str]]:
    return [(passage.kind, passage.text) for passage in read(body).passages]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>One</p><p>Two</p>", ["One", "Two"]),
        ("<div>Loose <p>inner</p> tail</div>", ["Loose", "inner", "tail"]),
        ("<blockquote>Quoted<p>more</p></blockquote>", ["Quoted", "more"]),
        ("<ul><li><p>Item</p></li><li>Plain <b>bold</b></li></ul>", ["Item", "Plain bold"]),
        ("<ul><li>Outer<ul><li>Inner</li></ul>after</li></ul>", ["Outer", "Inner", "after"]),
        ("<table><tr><td>A</td><th>B</th></tr></table>", ["A", "B"]),
        ("<dl><dt>Word</dt><dd>Meaning</dd></dl>", ["Word", "Meaning"]),
        ("<figure><img alt='Not read'/><figcaption>Caption</figcaption></figure>", ["Caption"]),
        ("Bare body text", ["Bare body text"]),
        ("<p>Line<br/>break</p>", ["Line break"]),
        ("<p>  much \n\t white\u00a0space\u2003here </p>", ["much white space here"]),
        ("<p><span class='dropcap'>T</span>he cat</p>", ["The cat"]),
        ("<p>a<b>b</b><i>c</i>d</p>", ["abcd"]),
        ("<p>ex\u00adtra\u200bor\u2060din\ufeffary</p>", ["extraordinary"]),
        ("<p>می\u200cخواهم</p>", ["می\u200cخواهم"]),
        ("<pre>code  here</pre>", ["code here"]),
        ("<p>x<wbr/>y</p>", ["xy"]),
        ("<p>A<!-- no -->B<?no way?>C</p>", ["ABC"]),
        ("<p><span style='display:block'>One</span><span>Two</span></p>", ["One", "Two"]),
    ],
)
def test_every_text_is_read_once(body: str, expected: list[str]) -> None:
    assert texts(body) == expected


@pytest.mark.parametrize(
    "silent",
    [
        "<script>no()</script>",
        "<style>p { color: red }</style>",
        "<svg xmlns='http://www.w3.org/2000/svg'><text>No</text></svg>",
        "<math xmlns='http://www.w3.org/1998/Math/MathML'><mi>x</mi></math>",
        "<span hidden='hidden'>No</span>",
        "<span aria-hidden='true'>No</span>",
        "<span style='color:red; display: none'>No</span>",
        "<span style='visibility:hidden'>No</span>",
        "<span epub:type='pagebreak' title='7'>7</span>",
        "<span role='doc-pagebreak'>7</span>",
        "<span class='pagenum'>[7]</span>",
        "<span class='lnum'>40</span>",
        "<a epub:type='noteref' href='#n1'>1</a>",
        "<a role='doc-noteref' href='#n1'>*</a>",
        "<sup><a href='#n1'>12</a></sup>",
        "<a href='notes.xhtml#n1'><sup>12</sup></a>",
        "<a href='#n1'>[3]</a>",
        "<sup>[3]</sup>",
        "<sup>[4](1)</sup>",
        "<a href='#r1'>↩</a>",
        "<audio controls=''>Your reader is old.</audio>",
        "<epub:switch><epub:case required-namespace='x'>No</epub:case></epub:switch>",
        "<img alt='No' src='x.png'/>",
    ],
)
def test_what_is_for_the_eye_is_not_read(silent: str) -> None:
    assert texts(f"<p>before{silent}after</p>") == ["beforeafter"]


@pytest.mark.parametrize(
    "kept",
    [
        "1<sup>st</sup>",
        "E=mc<sup>2</sup>",
        "<a href='#n1' epub:type='noteref'>this link</a>",
        "<a href='#ch1'>1</a>",
        "<a href='http://example.org/'>[1]</a>",
        "<span class='verse'>3</span>",
    ],
)
def test_what_only_looks_like_a_note_is_read(kept: str) -> None:
    expected = "".join(etree.fromstring(f"{HTML}{kept}</html>").itertext())
    assert texts(f"<p>a {kept} b</p>") == [f"a {expected} b"]


def test_ruby_reads_the_base_only() -> None:
    assert texts("<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字</p>") == ["漢字"]


def test_notes_are_left_out_and_the_sentence_goes_on() -> None:
    found = read(
        "<p>One <span epub:type='footnote'>a note</span>two.</p>"
        "<aside epub:type='footnote'><p>Another note.</p></aside>"
        "<aside><p>An aside is read.</p></aside>"
    )
    assert [passage.text for passage in found.passages] == ["One two.", "An aside is read."]
    assert found.skipped == {"notes": ["a note", "Another note."]}


def test_headings_keep_their_level_and_their_parts_apart() -> None:
    assert kinds(
        "<h2><span epub:type='se:label'>Chapter</span><span epub:type='z3998:ordinal'>I</span></h2>"
        "<hgroup><h2>II</h2><p epub:type='title'>The Title</p></hgroup>"
        "<h3><span class='number'>3</span>: Colon</h3>"
        "<p class='chapter-title'>Four</p>"
    ) == [
        ("heading", "Chapter I"),
        ("heading", "II"),
        ("heading", "The Title"),
        ("heading", "3: Colon"),
        ("heading", "Four"),
    ]


def test_a_picture_caption_in_a_heading_is_a_paragraph() -> None:
    found = read("<h2><span class='caption'>A horse.</span><br/>CHAPTER III.</h2>").passages
    assert [(passage.kind, passage.text) for passage in found] == [
        ("heading", "CHAPTER III."),
        ("paragraph", "A horse."),
    ]
    assert found[0].label == "A horse. CHAPTER III."


def test_verse_is_read_line_by_line() -> None:
    assert kinds(
        "<blockquote epub:type='z3998:verse'><p><span>One</span><br/><span>two</span></p>"
        "<p>three</p></blockquote><div class='poem'><div>four</div><div>five</div></div>"
        "<p>six<br/>seven</p>"
    ) == [
        ("verse", "One"),
        ("verse", "two"),
        ("verse", "three"),
        ("verse", "four"),
        ("verse", "five"),
        ("paragraph", "six seven"),
    ]


@pytest.mark.parametrize(
    "mark",
    [
        "<hr/>",
        "<p>* * *</p>",
        "<p>⁂</p>",
        "<div>• • •</div>",
        "<p>———</p>",
        "<p class='scene-break'>\u00a0</p>",
        "<p class='ornament'><img src='flower.png' alt='flower'/></p>",
    ],
)
def test_scene_breaks(mark: str) -> None:
    assert kinds(f"<p>a</p>{mark}<p>b</p>") == [
        ("paragraph", "a"),
        ("scene_break", ""),
        ("paragraph", "b"),
    ]


@pytest.mark.parametrize("speech", ["—", "…", "...", "?!", "-", "“…”", "1"])
def test_speech_without_words_is_no_scene_break(speech: str) -> None:
    assert not is_ornament(speech)
    assert kinds(f"<p>{speech}</p>") == [("paragraph", speech)]


def test_page_breaks_and_spacers_are_no_scene_breaks() -> None:
    assert kinds("<p>a</p><hr epub:type='pagebreak'/><p>\u00a0</p><p>b</p>") == [
        ("paragraph", "a"),
        ("paragraph", "b"),
    ]


def test_the_authors_words_on_a_title_page_are_read() -> None:
    found = read(
        "<section epub:type='titlepage'><h1>Title</h1>"
        "<p epub:type='dedication'>For you</p><p>Printed somewhere</p></section>"
    )
    assert [(passage.text, passage.matter) for passage in found.passages] == [
        ("For you", "Dedication")
    ]
    assert found.skipped == {"title page": ["Title", "Printed somewhere"]}


def test_gutenberg_drop_caps_are_read_and_alternative_texts_are_not() -> None:
    assert texts(
        "<p><span id='img_images_b.png'>M</span>R. BENNET</p>"
        "<p><span id='img_images_c.png'>Reading Jane's letters</span></p>"
        "<h2><span id='img_images_d.png'>PREFACE.</span></h2>"
    ) == ["MR. BENNET", "PREFACE."]


def test_a_chapter_may_begin_in_the_middle_of_a_paragraph() -> None:
    found = read("<p>First.<a id='two'/>Second.</p><h2>Th<a id='three'/>ree</h2>", "two", "three")
    assert [passage.text for passage in found.passages] == ["First.", "Second.", "Three"]
    assert found.anchors["two"] == 1
    assert found.anchors["three"] == 2


def test_deep_nesting_is_no_danger() -> None:
    depth = 1500
    assert texts("<div>" * depth + "deep" + "</div>" * depth) == ["deep"]


INLINE = ["span", "b", "em", "a", "small", "q", "code"]
BLOCK = ["div", "p", "blockquote", "li", "td", "section", "h2", "dd", "ul", "article"]
WORDS = st.text(string.ascii_letters + "é漢'", min_size=1, max_size=6).map(lambda word: f" {word} ")


def nodes() -> st.SearchStrategy[str]:
    def wrap(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        inside = st.lists(children, max_size=4).map("".join)
        element = st.tuples(st.sampled_from(INLINE + BLOCK), inside)
        return element.map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0]}>")

    return st.recursive(WORDS | st.sampled_from(["<br/>", "<hr/>", "<img src='x'/>"]), wrap)


@given(st.lists(nodes(), max_size=6).map("".join))
def test_no_text_is_lost_doubled_or_invented(body: str) -> None:
    root = etree.fromstring(f"{HTML}<body>{body}</body></html>")
    found = extract(root).passages
    assert " ".join(p.text for p in found).split() == "".join(root.itertext()).split()
    assert all(p.text == " ".join(p.text.split()) for p in found)
    assert all(bool(p.text) == (p.kind != "scene_break") for p in found)
