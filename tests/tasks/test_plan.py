"""Chapters become utterances: nothing lost, nothing invented, pauses after the text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from model.text import SYMBOLS
from model.text.marks import PAUSES
from tasks.plan import LONGEST, LONGEST_PHONES, Pauses, plan_chapter, split_utterances
from tasks.read_book import Block, Chapter, read_book

PAUSE = Pauses()
ZOO = "The old lighthouse keeper tapped the barometer."


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in split_utterances(text)]


@pytest.mark.parametrize(
    "parts",
    [
        ["The door was open before he came.", "Nobody had expected that at all."],
        [
            "“I shall not go,” said Mr. Smith, “to St. Paul’s.”",
            "He left the room at nine a.m. or so.",
        ],
        ["He admired J. R. R. Tolkien and George R.R. Martin.", "They had never met in London."],
        ["The letter came from the U.S. Army in May.", "It was not opened for a year."],
        ["They sold paper, ink, etc. in the back room.", "She bought e.g. apples, i.e. fruit."],
        ["“What is the meaning of this?” he asked her.", "“Nothing that I could tell you!”"],
        ["“Don’t shoot the messenger!” she cried out.", "There was no answer from the hall."],
        ["He waited for a very long time…", "Then he went back to the house."],
        ["He waited … and then he went home again.", "(Nobody had noticed him leaving.)"],
        ["The shelf is 1.75 m high, as is No. 7.", "Visit www.example.com for the rest of it."],
        [
            "She lives at 42 Elm St. near the park.",
            "Her brother, Bob Jr., lives with Acme Inc. now.",
        ],
    ],
)
def test_sentences(parts: list[str]) -> None:
    assert pieces(" ".join(parts)) == parts


def test_closing_quotes_stay_with_their_sentence() -> None:
    text = (
        "“It was the best of all times.” ‘It was the worst of all times!’ (So they all said.) Yes."
    )
    assert pieces(text) == [
        "“It was the best of all times.”",
        "‘It was the worst of all times!’",
        "(So they all said.) Yes.",
    ]


def test_very_short_sentences_join_a_neighbour() -> None:
    assert pieces("No. I have never seen him before.") == ["No. I have never seen him before."]
    assert pieces(f"{ZOO} No.") == [f"{ZOO} No."]
    assert pieces("No.") == ["No."]


def test_long_sentences_are_cut_at_clauses() -> None:
    clause = "he counted the stairs aloud, as he had done every evening since childhood"
    text = f"When the music stopped, {clause}; but {clause}; and after that {clause}."
    parts = pieces(text)
    assert len(parts) > 1
    assert all(part.endswith((";", ",", ".")) for part in parts)


def test_text_without_marks_is_cut_between_words() -> None:
    parts = pieces("word " * 200)
    assert max(map(len, parts)) <= LONGEST
    assert all(part.split() == ["word"] * len(part.split()) for part in parts)


TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="aAbI .,;:!?…—'\"“”’()\n\u2060", max_size=400),
    st.lists(
        st.sampled_from(
            ["Mr.", "U.S.", "etc.", "Yes.", "“No!”", "he", "It", "1.5", "…", "—", "and"]
        ),
        max_size=120,
    ).map(" ".join),
)


@given(TEXTS)
def test_spans_hold_every_character_once_and_in_order(text: str) -> None:
    at = 0
    for start, end in split_utterances(text):
        assert not text[at:start].strip()
        assert start < end
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


@given(TEXTS)
def test_no_utterance_is_too_long(text: str) -> None:
    assert all(end - start <= LONGEST for start, end in split_utterances(text))


@given(st.lists(st.tuples(st.sampled_from(["heading", "paragraph", "verse"]), TEXTS), max_size=5))
def test_plans_are_complete(blocks: list[tuple[str, str]]) -> None:
    chapter = Chapter("", tuple(Block(kind, text) for kind, text in blocks))
    plan = plan_chapter(3, chapter, PAUSE, "en")
    assert [utterance.index for utterance in plan] == list(range(len(plan)))
    assert all(utterance.chapter == 3 for utterance in plan)
    assert all(set(utterance.phones) <= set(SYMBOLS["v2"]) for utterance in plan)
    assert all(set(utterance.phones) - PAUSES for utterance in plan)
    assert all(utterance.phones[-1] in PAUSES for utterance in plan)
    assert all(len(utterance.phones) <= LONGEST_PHONES + 1 for utterance in plan)
    if plan:
        assert plan[-1].pause_after == PAUSE.chapter


def test_pauses_follow_the_text() -> None:
    chapter = Chapter(
        "",
        (
            Block("heading", "The Storm"),
            Block("paragraph", f"{ZOO} {ZOO}"),
            Block("paragraph", ZOO),
            Block("scene_break", ""),
            Block("verse", "Tyger, tyger, burning bright"),
            Block("verse", "In the forests of the night,"),
            Block("paragraph", ZOO),
            Block("heading", "Afterwards"),
            Block("paragraph", ZOO),
        ),
    )
    plan = plan_chapter(0, chapter, PAUSE, "en")
    assert [(utterance.kind, utterance.pause_after) for utterance in plan] == [
        ("heading", PAUSE.heading),
        ("paragraph", PAUSE.sentence),
        ("paragraph", PAUSE.paragraph),
        ("paragraph", PAUSE.scene),
        ("verse", PAUSE.verse),
        ("verse", PAUSE.paragraph),
        ("paragraph", PAUSE.heading),
        ("heading", PAUSE.heading),
        ("paragraph", PAUSE.chapter),
    ]


def test_clauses_of_one_sentence_have_the_short_pause_and_a_comma() -> None:
    clause = "he counted the stairs aloud as he had done every evening since childhood"
    plan = plan_chapter(
        0, Chapter("", (Block("paragraph", f"{clause} — and {clause} " * 2),)), PAUSE
    )
    assert len(plan) > 1
    assert all(utterance.phones[-1] == "," for utterance in plan[:-1])
    assert {utterance.pause_after for utterance in plan[:-1]} == {PAUSE.clause}
    assert plan[-1].phones[-1] == "."


def test_silent_text_keeps_its_pause() -> None:
    blocks = (
        Block("paragraph", "🙂"),
        Block("paragraph", ZOO),
        Block("paragraph", "* * *"),
        Block("scene_break", ""),
        Block("paragraph", "…"),
        Block("paragraph", ZOO),
    )
    plan = plan_chapter(0, Chapter("", blocks), PAUSE)
    assert [utterance.text for utterance in plan] == [ZOO, ZOO]
    assert plan[0].pause_after == PAUSE.scene
    assert plan_chapter(0, Chapter("", (Block("paragraph", "…"),)), PAUSE) == []


@pytest.mark.parametrize(
    ("title", "headings", "spoken"),
    [
        ("The Storm", [], True),
        ("The Storm", ["THE STORM"], False),
        ("Chapter 1", ["CHAPTER I."], False),
        ("Chapter I: The Storm", ["Chapter I", "The Storm"], False),
        ("Chapter I: The Storm", ["I"], False),
        ("The Storm", ["Part Two"], True),
        ("", [], False),
        ("***", [], False),
    ],
)
def test_title_is_spoken_unless_the_text_says_it(
    title: str, headings: list[str], spoken: bool
) -> None:
    blocks = (*(Block("heading", text) for text in headings), Block("paragraph", ZOO))
    plan = plan_chapter(0, Chapter(title, blocks), PAUSE)
    assert ([utterance.text for utterance in plan if utterance.text == title] == [title]) == spoken
    assert len(plan) == len(headings) + 1 + spoken


def test_title_at_the_head_of_a_paragraph_is_not_repeated() -> None:
    chapter = Chapter("The Storm", (Block("paragraph", "The storm began at nine o’clock."),))
    assert len(plan_chapter(0, chapter, PAUSE)) == 1


def test_numbers_that_are_long_to_say_are_cut() -> None:
    text = "It was " + ", ".join(["123,456,789.123456"] * 6) + "."
    plan = plan_chapter(0, Chapter("", (Block("paragraph", text),)), PAUSE)
    assert len(plan) > 1
    assert max(len(utterance.phones) for utterance in plan) <= LONGEST_PHONES + 1


def test_another_language_is_an_error() -> None:
    with pytest.raises(UserError, match="'fr'"):
        plan_chapter(0, Chapter("", (Block("paragraph", "Bonjour."),)), PAUSE, "fr")


def test_chinese_is_planned_and_lone_ellipses_are_silent() -> None:
    pytest.importorskip("pypinyin", reason="needs the extra 'chinese'")
    blocks = (
        Block("paragraph", "……"),
        Block("paragraph", "清晨的薄雾还没有散去，渔船已经离开了港口。" * 12),
    )

    plan = plan_chapter(0, Chapter("", blocks), PAUSE, "zh")

    assert "".join(utterance.text for utterance in plan) == blocks[1].text
    assert all(len(utterance.phones) <= LONGEST_PHONES + 1 for utterance in plan)
    assert plan[-1].phones[-1] == "."


def test_a_real_chapter(shared: Path) -> None:
    book = read_book(shared / "books/se_h-g-wells_the-time-machine.epub")
    chapter = book.chapters[1]
    plan = plan_chapter(1, chapter, PAUSE, book.language)
    printed = "".join(block.text for block in chapter.blocks).replace(" ", "")
    assert printed.endswith("".join(utterance.text for utterance in plan).replace(" ", "")[-500:])
    lengths = [len(utterance.text) for utterance in plan]
    assert max(lengths) <= LONGEST
    assert 40 < sum(lengths) / len(lengths) < 160


def test_odd_lines_lose_nothing(root: Path) -> None:
    """Letters, marks, emoji, repeated phrases, three hundred words without a comma."""
    for line in (root / "benchmarks" / "odd.txt").read_text("utf-8").splitlines():
        planned = plan_chapter(0, Chapter("", (Block("paragraph", line),)), PAUSE)
        for utterance in planned:
            assert len(utterance.phones) <= LONGEST_PHONES
            assert not PAUSES.issuperset(utterance.phones)
        if any(character.isascii() and character.isalnum() for character in line):
            said = "".join("".join(utterance.text for utterance in planned).split())
            assert said == "".join(line.split())


@given(st.lists(st.sampled_from(["no", "again", "and", "I", "Buck"]), min_size=1, max_size=320))
def test_repeated_words_are_said_as_often_as_they_are_printed(words: list[str]) -> None:
    planned = plan_chapter(0, Chapter("", (Block("paragraph", " ".join(words)),)), PAUSE)
    assert [word for utterance in planned for word in utterance.text.split()] == words
