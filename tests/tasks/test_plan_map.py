"""The map from what is printed to what is spoken: nothing is lost, changed or shown twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Block, Chapter, read_book

PAUSE = Pauses()
PROSE = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="aAbI 19.,;:!?…—'\"“”’()\n\u2060é🙂\u00a0", max_size=300),
    st.lists(
        st.sampled_from(
            ["Mr.", "U.S.", "etc.", "Yes.", "“No!”", "he", "It", "1.5", "…", "—", "and", "🙂.",
             "£3,500", "12:30", "well-known", "Чай", "X-ray,", "’tis", "4th", "MDCCLXXVI", "said"]
        ),
        max_size=120,
    ).map(" ".join),
)  # fmt: skip


def chapter_of(*texts: str) -> Chapter:
    return Chapter("", tuple(Block("paragraph", text) for text in texts))


def check_map(chapter: Chapter, plan: list[Utterance]) -> None:
    """Whatever the text: what is shown is the book's own, in order, once, token by token."""
    shown: dict[int, list[Utterance]] = {}
    for utterance in plan:
        shown.setdefault(utterance.block, []).append(utterance)
        text = chapter.blocks[utterance.block].text if utterance.block >= 0 else chapter.title
        assert text[utterance.start : utterance.start + len(utterance.text)] == utterance.text
        at = 0
        for token in utterance.tokens:
            assert not utterance.text[at : token.start].strip()
            assert token.start < token.end
            at = token.end
        assert at == len(utterance.text)
        spoken = sum(token.phones for token in utterance.tokens)
        assert len(utterance.phones) - 1 <= spoken <= len(utterance.phones)
    for place, utterances in shown.items():
        text = chapter.blocks[place].text if place >= 0 else chapter.title
        at = 0
        for utterance in utterances:
            assert not text[at : utterance.start].strip()
            at = utterance.start + len(utterance.text)
        assert not text[at:].strip()


@given(st.lists(PROSE, max_size=4), st.sampled_from(["", "v2"]))
def test_every_character_is_shown_once(texts: list[str], version: str) -> None:
    chapter = chapter_of(*texts)
    check_map(chapter, plan_chapter(0, chapter, PAUSE, "en", version))


def test_tokens_say_what_is_said_for_what_is_printed() -> None:
    text = "Mr. Smith paid £3,500 on 12 May 1890 … 🙂"
    (utterance,) = plan_chapter(0, chapter_of(text), PAUSE)
    said = {utterance.text[token.start : token.end]: token for token in utterance.tokens}
    assert utterance.text == text
    assert said["Mr."].spoken == "Mister"
    assert said["£3,500"].spoken == "three thousand, five hundred pounds"
    assert said["🙂"].phones == 0
    first = said["Mr."].phones
    assert utterance.phones[:first] == ("M", "IH1", "S", "T", "ER0")
    second = utterance.phones[first : first + said["Smith"].phones]
    assert second == ("S", "M", "IH1", "TH")


def test_what_has_no_sound_is_shown_beside_what_has() -> None:
    plan = plan_chapter(0, chapter_of("…! 🙂. The door was open before he came. 🙂🙂🙂."), PAUSE)
    assert [utterance.text for utterance in plan] == [
        "…! 🙂. The door was open before he came. 🙂🙂🙂."
    ]
    assert (
        plan[0].phones
        == plan_chapter(0, chapter_of("The door was open before he came."), PAUSE)[0].phones
    )


def test_cut_numbers_keep_their_places() -> None:
    text = "It was " + ", ".join(["123,456,789.123456"] * 6) + "."
    plan = plan_chapter(0, chapter_of(text), PAUSE)
    assert len(plan) > 1
    check_map(chapter_of(text), plan)


def test_the_title_belongs_to_no_block() -> None:
    chapter = Chapter(" The Storm ", (Block("paragraph", "Nobody had expected that at all."),))
    title, line = plan_chapter(0, chapter, PAUSE)
    assert (title.block, title.start, title.text) == (-1, 1, "The Storm")
    assert (line.block, line.start) == (0, 0)
    check_map(chapter, [title, line])


@pytest.mark.parametrize(
    ("language", "package", "text"),
    [
        ("zh", "pypinyin", "他在2024年5月1日走了…… 花了3.5元，A股！🙂"),
        ("yue", "tojyutping", "佢話：「我哋聽日去睇戲。」"),
        ("ja", "pyopenjtalk", "「吾輩は猫である。」　名前はまだ無い…… 3月4日。"),
        ("ko", "g2pk2", '그는 3월 4일에 갔다. "정말?"'),
    ],
)
def test_other_languages_are_mapped_too(language: str, package: str, text: str) -> None:
    pytest.importorskip(package, reason=f"needs the package {package}")
    chapter = chapter_of(text, text * 9)
    for version in ("", "v2"):
        check_map(chapter, plan_chapter(0, chapter, PAUSE, language, version))


@pytest.mark.parametrize(
    "book", ["se_h-g-wells_the-time-machine.epub", "rc_chinese.epub", "rc_arabic.epub"]
)
def test_real_chapters_are_shown_whole(shared: Path, book: str) -> None:
    for number, chapter in enumerate(read_book(shared / "books" / book).chapters[:3]):
        check_map(chapter, plan_chapter(number, chapter, PAUSE, "en"))
