"""Passages of a document: every text once, nothing added, nothing that is only for the eye."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tasks.epub_markup import parse
from tasks.epub_text import Extract, extract, is_ornament
from tasks.matter import Reading

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


# Remarks: what the markup says of its words


def remarks(body: str, head: str = "", **told: str) -> list[list[tuple[str, dict[str, str]]]]:
    """For each passage, the words with a remark and what it says of them."""
    root = parse(
        f"<html xmlns='http://www.w3.org/1999/xhtml' xmlns:epub='http://www.idpf.org/2007/ops'"
        f" xmlns:ssml='http://www.w3.org/2001/10/synthesis' {head}><body>{body}</body></html>"
    )[0]
    return [
        [
            (
                passage.text[one.start : one.end],
                {name: v for name, v in vars(one).items() if v and name not in ("start", "end")},
            )
            for one in passage.remarks
        ]
        for passage in extract(root, **told).passages  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("ruby", "said"),
    [
        ("<ruby>漢字<rt>かんじ</rt></ruby>", [("漢字", "かんじ")]),
        ("<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>", [("漢", "かん"), ("字", "じ")]),
        ("<ruby><rb>漢</rb><rb>字</rb><rt>かん</rt><rt>じ</rt></ruby>", [("漢字", "かんじ")]),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>", [("漢", "かん")]),
        ("<ruby>東<rt>とう</rt><rtc><rt>east</rt></rtc></ruby>", [("東", "とう")]),
        ("<ruby>WWW<rt>World Wide Web</rt></ruby>", [("WWW", "World Wide Web")]),
        ("<ruby>漢<rt>hàn</rt></ruby>", []),
        ("<ruby>強<rt>・</rt></ruby>", []),
    ],
)
def test_a_ruby_says_how_its_base_is_read(ruby: str, said: list[tuple[str, str]]) -> None:
    (found,) = remarks(f"<p>前{ruby}\n後</p>")
    assert found == [(base, {"said": reading}) for base, reading in said]


def test_pronunciations_and_their_inherited_alphabet() -> None:
    body = (
        "<p>A <span ssml:ph='x'>big <b>red</b></span>  dog, <i ssml:alphabet='ipa' ssml:ph='y'>a"
        "</i>, <i ssml:alphabet='other' ssml:ph='z'>b</i><ruby ssml:ph='q'>字<rt>じ</rt></ruby></p>"
        "<div ssml:ph='no'><p>One</p><p>Two</p></div>"
    )
    assert remarks(body, "ssml:alphabet='x-sampa'") == [
        [
            ("big red", {"phonemes": "x", "alphabet": "x-sampa"}),
            ("a", {"phonemes": "y", "alphabet": "ipa"}),
            ("字", {"phonemes": "q", "alphabet": "x-sampa"}),
        ],
        [],
        [],
    ]


def test_text_in_another_language() -> None:
    body = (
        "<p>He said <i xml:lang='fr'>bon <b>jour</b> </i> and <i lang='en-US'>color</i>.</p>"
        "<blockquote lang='de'><p>Guten Tag</p>"
        "<p>Tschüs, <i xml:lang='en'>dear</i></p></blockquote>"
    )
    assert remarks(body, "lang='en-GB'", language="en") == [
        [("bon jour", {"language": "fr"})],
        [("Guten Tag", {"language": "de"})],
        [("Tschüs,", {"language": "de"})],
    ]


def test_a_book_in_another_language_than_it_says() -> None:
    assert remarks("<p>猫だ</p>", "lang='ja'", language="en") == [[("猫だ", {"language": "ja"})]]
    assert remarks("<p>猫だ</p>", "lang='und'", language="en") == [[]]


def test_a_language_that_the_script_belies_is_not_believed() -> None:
    assert remarks("<p>猫だ</p>", "lang='en'", language="ja") == [[]]
    assert remarks("<p>The <i lang='ja'>sensei</i> came.</p>", language="en") == [[]]
    assert remarks("<p>The <i lang='ja'>先生</i> came.</p>", language="en") == [
        [("先生", {"language": "ja"})]
    ]


def test_letters_words_and_roman_numerals() -> None:
    body = (
        "<p>The <abbr epub:type='z3998:initialism'>U.S.</abbr> and "
        "<abbr epub:type='z3998:acronym'>NATO</abbr>, Henry "
        "<span epub:type='z3998:roman'>VIII</span></p>"
    )
    (found,) = remarks(body)
    assert [(word, said["role"]) for word, said in found] == [
        ("U.S.", "letters"),
        ("NATO", "word"),
        ("VIII", "roman"),
    ]


@pytest.mark.parametrize(
    "speech",
    [
        "<table><tr><td epub:type='z3998:persona'>Jack</td><td><p>I see. "
        "<i epub:type='z3998:stage-direction'>Goes.</i> Bye.</p></td></tr></table>",
        "<div class='speech'><p class='speaker'>Jack.</p><p>I see. "
        "<i epub:type='z3998:stage-direction'>Goes.</i> Bye.</p></div>",
        "<dl><dt epub:type='z3998:persona'>Jack</dt><dd>I see. "
        "<i epub:type='z3998:stage-direction'>Goes.</i> Bye.</dd></dl>",
    ],
)
def test_speakers_of_a_play(speech: str) -> None:
    found = remarks(f"{speech}<p>He left.</p>")
    assert found == [
        [],
        [("I see.", {"speaker": "Jack"}), ("Bye.", {"speaker": "Jack"})],
        [],
    ]


def test_a_speaker_in_the_same_paragraph() -> None:
    assert remarks("<p><b epub:type='z3998:persona'>Jack.</b> I see.</p>") == [
        [("I see.", {"speaker": "Jack"})]
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["{}", "<i lang='fr'>{}</i>", "<ruby>{}<rt>x</rt></ruby>",
                             "<b epub:type='z3998:roman'>{}</b>", "<p>{}</p>", "{}<br/>"]),
            st.text("aé ﬁ\u00ad漢", max_size=5),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_remarks_lie_in_their_text(parts: list[tuple[str, str]]) -> None:
    body = "".join(form.format(text) for form, text in parts)
    root = etree.fromstring(f"{HTML}<body>{body}</body></html>")
    for passage in extract(root, language="en").passages:
        for one in passage.remarks:
            assert 0 <= one.start < one.end <= len(passage.text)
            said = passage.text[one.start : one.end]
            assert said == said.strip() and any(vars(one).values())


# Pictures and formulas


def test_pictures_that_are_letters_and_those_that_are_not() -> None:
    assert texts(
        "<p><img alt='T'/>he cat</p><p><span><img alt='“I'/></span>t is</p>"
        "<p>gone<img alt='X'/> here</p><p>外<img class='gaiji' alt='鷗'/>が</p>"
    ) == ["The cat", "“It is", "gone here", "外鷗が"]


def test_a_heading_that_is_a_picture() -> None:
    assert kinds("<h1><img alt='Chapter One'/></h1><h2><img alt='A ship'/>Two</h2>") == [
        ("heading", "Chapter One"),
        ("heading", "Two"),
    ]


def test_descriptions_are_read_on_demand() -> None:
    body = (
        "<p>One</p><figure><img alt='A ship at sea'/><figcaption>Ship</figcaption></figure>"
        "<p><img alt='no' role='presentation'/><img alt='x.png'/><img alt=''/></p>"
        "<p class='ornament'><img alt='flower'/></p><p>Two</p>"
    )
    root = parse(f"{HTML}<body>{body}</body></html>")[0]
    found = extract(root)
    assert [p.text for p in found.passages] == ["One", "Ship", "", "Two"]
    assert found.skipped == {"pictures' descriptions": ["A ship at sea"]}
    found = extract(root, reading=Reading(images=True))
    assert [p.text for p in found.passages] == ["One", "A ship at sea", "Ship", "", "Two"]


def test_formulas() -> None:
    body = (
        "<p>If <math alttext='x is 5'><mi>x</mi></math>, then "
        "<math alttext='\\frac{1}{2}'><mi>y</mi></math> follows.</p>"
    )
    found = read(body)
    assert [p.text for p in found.passages] == ["If x is 5 , then follows."]
    assert found.skipped == {"formulas without a text": ["y"]}


def test_the_words_of_a_picture_document() -> None:
    body = "<text>One <tspan>two</tspan></text><g><text>3</text></g>"
    root = parse(f"<svg xmlns='http://www.w3.org/2000/svg'>{body}</svg>")[0]
    assert [p.text for p in extract(root).passages] == ["One two", "3"]
