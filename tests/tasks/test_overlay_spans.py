"""Spans around narrated lines: as few as nest, and the page says what it said."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.epub_fold import fold_text
from tasks.epub_markup import local_name, parse
from tasks.epub_text import extract
from tasks.overlay_check import same_page
from tasks.overlay_markup import read_markup, scan
from tasks.overlay_spans import free_prefix, place_spans, runs_of, wrap_spans

PAGE = (
    '<?xml version="1.0"?>\n<!DOCTYPE html [<!ENTITY tea "Earl Grey">]>\n<!-- <p> -->\n'
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
    "<head><title>T</title></head><body>{}</body></html>\n<?end?>"
)


def spanned(body: str, cuts: dict[int, list[int]] | None = None) -> str:
    """The body with a span around each sentence, or around what lies between these cuts."""
    text = PAGE.format(body)
    root, well_formed = parse(text)
    source = scan(text)
    assert well_formed and source
    lines = []
    for number, passage in enumerate(extract(root).passages):
        ends = [match.end() for match in re.finditer(r"[.!?。](?=\s|$)", passage.text)]
        borders = (cuts or {}).get(number, ends) if cuts is not None else ends
        edges = [0, *borders, len(passage.text)]
        for start, end in pairwise(edges):
            if fold_text(passage.text[start:end]):
                lines.append(runs_of(passage.origins, start, end))
    pieces = place_spans(source, lines)
    assert all(before.end <= after.start for before, after in pairwise(pieces))
    if cuts is not None:
        shown = {at for piece in pieces for at in range(piece.start, piece.end)}
        for run in (run for runs in lines for run in runs):
            node = source.nodes[run.node]
            for at in range(run.start, run.end):
                assert node.starts[at] in shown or not fold_text(node.text[at])
    count = [0] * len(lines)
    spans = []
    for piece in pieces:
        count[piece.line] += 1
        spans.append((piece, f"vx-{piece.line + 1}-{count[piece.line]}"))
    after = wrap_spans(source, spans)
    assert same_page(text, after, "vx")
    head, tail = PAGE.split("{}")
    assert after.startswith(head) and after.endswith(tail)
    return after.removeprefix(head).removesuffix(tail)


def short(body: str) -> str:
    """The spanned body with spans as [1: ... ], where 1 is the line."""
    text = re.sub(r'<span id="vx-(\d+)-\d+">', r"[\1:", spanned(body))
    return text.replace("</span>", "]")


@pytest.mark.parametrize(
    "case",
    [
        ("<p>One. Two.</p>", "<p>[1:One.] [2:Two.]</p>"),
        ("<p> He <em>said</em> so. </p>", "<p> [1:He <em>said</em> so.] </p>"),
        ("<p><i>Nautilus</i> sank.</p>", "<p>[1:<i>Nautilus</i> sank.]</p>"),
        ("<p>It was <i>he.</i></p>", "<p>[1:It was <i>he.</i>]</p>"),
        ("<p><em>One. Two.</em></p>", "<p><em>[1:One.] [2:Two.]</em></p>"),
        ("<p><b>One. Two</b> is. So.</p>", "<p><b>[1:One.] [2:Two]</b> [2:is.] [3:So.]</p>"),
        (
            "<p>A <b>b <i>c. D</i> e</b> f.</p>",
            "<p>[1:A] <b>[1:b] <i>[1:c.] [2:D]</i> [2:e]</b> [2:f.]</p>",
        ),
        ("<p><a id='x' href='#y'>A.</a> B.</p>", "<p><a id='x' href='#y'>[1:A.]</a> [2:B.]</p>"),
        (
            "<p>A<!-- b. --> c. <?d e?>F &amp;g.</p>",
            "<p>[1:A<!-- b. --> c.] <?d e?>[2:F &amp;g.]</p>",
        ),
        ("<p>&tea; &eacute;. N&#160;&lt;</p>", "<p>[1:&tea; &eacute;.] [2:N&#160;&lt;]</p>"),
        ("<p>A. <![CDATA[<b>. C.]]> D</p>", "<p>[1:A.] [2:<![CDATA[<b>. C.]]>] [4:D]</p>"),
        (
            "<p>A<img src='' alt=''/> b.<br/> C.</p>",
            "<p>[1:A<img src='' alt=''/> b.]<br/> [2:C.]</p>",
        ),
        (
            "<p><ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>だ。</p>",
            "<p>[1:<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>だ。]</p>",
        ),
        (
            "<p>x<ruby>漢。<rt>かん</rt></ruby> <ruby>字<rt>じ</rt></ruby></p>",
            "<p>[1:x<ruby>漢。<rt>かん</rt></ruby>] [2:<ruby>字<rt>じ</rt></ruby>]</p>",
        ),
        (
            "<p>y <ruby>漢。 B<rt>かん</rt></ruby> z.</p>",
            "<p>[1:y] <ruby>[1:漢。] [2:B]<rt>かん</rt></ruby> [2:z.]</p>",
        ),
        ("<ul>loose<li>One.</li></ul>", "<ul>loose<li>[2:One.]</li></ul>"),
        ("<p>co\u00adop\u200b.</p>", "<p>[1:co\u00adop\u200b.]</p>"),
        (
            "<p>a<sup><a href='#n'>1</a></sup> b.</p>",
            "<p>[1:a<sup><a href='#n'>1</a></sup> b.]</p>",
        ),
        (
            "<p>x <svg xmlns='http://www.w3.org/2000/svg'><text>no</text></svg> y.</p>",
            "<p>[1:x <svg xmlns='http://www.w3.org/2000/svg'><text>no</text></svg> y.]</p>",
        ),
        ("<p><time>May 4.</time></p>", "<p>[1:<time>May 4.</time>]</p>"),
        ("<p>On <time>May 4. A</time> b.</p>", "<p>[1:On] <time>May 4. A</time> [2:b.]</p>"),
        ("<p>one\r\ntwo.\rThree</p>", "<p>[1:one\r\ntwo.]\r[2:Three]</p>"),
        ("<div>One <p>two.</p> three</div>", "<div>[1:One] <p>[2:two.]</p> [3:three]</div>"),
    ],
)
def test_spans_go_around_what_is_whole(case: tuple[str, str]) -> None:
    body, expected = case
    assert short(body) == expected


def test_a_prefix_of_names_is_the_names_own() -> None:
    body = "<h:p xmlns:h='http://www.w3.org/1999/xhtml'>One.</h:p>"
    assert '<h:span id="vx-1-1">One.</h:span></h:p>' in spanned(body)


def test_what_is_told_twice_is_shown_once() -> None:
    text = PAGE.format("<p>One. Two.</p>")
    source = scan(text)
    assert source
    origins = extract(parse(text)[0]).passages[0].origins
    lines = [runs_of(origins, start, end) for start, end in ((0, 4), (0, 4), (5, 9), (3, 9))]
    assert [
        (piece.line, text[piece.start : piece.end]) for piece in place_spans(source, lines)
    ] == [
        (0, "One."),
        (2, "Two."),
    ]


def test_ids_of_the_book_are_left_alone() -> None:
    assert free_prefix("<p id='a'/>") == "vx"
    assert free_prefix("<p id='vx-1'/><p id=\"vxx-a\"/>") == "vxxx"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"<p>a</p>", "utf-8"),
        ("<p>é</p>".encode("utf-8-sig"), "utf-8"),
        ("<p>é</p>".encode("utf-16"), "utf-16-le"),
        (b"<?xml version='1.0' encoding='UTF-8'?><p>a</p>", "utf-8"),
    ],
)
def test_the_bytes_come_back(content: bytes, encoding: str) -> None:
    read = read_markup(content)
    assert read and read[2] == encoding
    assert read[1] + read[0].encode(read[2]) == content


@pytest.mark.parametrize(
    "content", [b"<p>\xe9</p>", b"<?xml version='1.0' encoding='iso-8859-1'?><p>a</p>"]
)
def test_other_encodings_are_left_alone(content: bytes) -> None:
    assert read_markup(content) is None


@pytest.mark.parametrize("text", ["<p>a", "<p>a<br></p>", "<p>a</b></p>", "", "no markup"])
def test_what_is_not_well_formed_is_left_alone(text: str) -> None:
    assert scan(text) is None


LETTERS = st.text(st.sampled_from("ab. \u00ad漢&<"), min_size=1, max_size=6)
INLINE = ["b", "em", "a href='#x'", "span id='y'", "sup", "code", "q class='z'"]
ATOMS = [
    "<br/>",
    "<!-- a. b -->",
    "<?a b. c?>",
    "<img src='i.png' alt='a. b'/>",
    "&eacute;",
    "&tea;",
]
ATOMS += ["<![CDATA[a. <b>]]>", "<ruby>漢。<rt>かん</rt>字<rp>(</rp></ruby>", "&#x41;", "\r\n"]
ATOMS += ["<a epub:type='noteref' href='#n'>1</a>", "<math xmlns='m'><mi>a. b</mi></math>"]
BLOCKS = ["p", "div", "h2", "li", "blockquote", "aside epub:type='footnote'"]


def written(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def element(tag: str, parts: list[str]) -> str:
    return f"<{tag}>{''.join(parts)}</{tag.split()[0]}>"


inline = st.recursive(
    LETTERS.map(written) | st.sampled_from(ATOMS),
    lambda inner: st.builds(element, st.sampled_from(INLINE), st.lists(inner, max_size=4)),
    max_leaves=12,
)
blocks = st.recursive(
    st.builds(element, st.sampled_from(BLOCKS), st.lists(inline, min_size=1, max_size=5)),
    lambda inner: st.builds(
        element, st.sampled_from(BLOCKS), st.lists(inner | inline, min_size=1, max_size=4)
    ),
    max_leaves=5,
)


@given(st.lists(blocks, min_size=1, max_size=3).map("".join), st.data())
def test_any_borders_in_any_markup(body: str, data: st.DataObject) -> None:
    passages = extract(parse(PAGE.format(body))[0]).passages
    cuts = {
        number: sorted(data.draw(st.sets(st.integers(1, len(passage.text)), max_size=4)))
        for number, passage in enumerate(passages)
        if passage.text
    }
    after = PAGE.format(spanned(body, cuts))  # same_page is asserted there
    root, well_formed = parse(after)
    assert well_formed
    marked = [e for e in root.iter() if (e.get("id") or "").startswith("vx-")]
    for span in marked:
        assert not any((e.get("id") or "").startswith("vx-") for e in span.iterancestors())
        assert not any(local_name(e) in ("p", "div", "li", "h2", "aside") for e in span.iter())
        assert fold_text("".join(span.itertext()))
