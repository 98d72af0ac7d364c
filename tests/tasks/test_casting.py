"""Who speaks: by the cast file, by the book's markup, by names beside quotations; else nobody."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UsageError
from tasks.casting import Cast, Rule, draft_cast, folded, lines_of, load_cast
from tasks.plan import Pauses, plan_chapter
from tasks.read_book import Block, Book, Chapter, Remark, read_book

NAMES = {"Alice": "Alice", "Mr. Bennet": "Mr. Bennet", "Lizzy": "Elizabeth", "Bob": "Bob"}
CAST = Cast({"Alice": "a.wav", "Mr. Bennet": "b.wav", "Elizabeth": "c.wav"}, NAMES)
WITH_DIALOGUE = Cast({**CAST.voices, "dialogue": "d.wav"}, NAMES)


def chapter_of(*texts: str) -> Chapter:
    return Chapter("", tuple(Block("paragraph", text) for text in texts))


def who(*texts: str, cast: Cast = CAST) -> list[str]:
    chapter = chapter_of(*texts)
    return [line.speaker for lines in lines_of(0, chapter, cast) for line in lines]


def planned(*texts: str, cast: Cast | None = CAST) -> list[tuple[str, str]]:
    plan = plan_chapter(0, chapter_of(*texts), Pauses(), cast=cast)
    return [(utterance.speaker, utterance.text) for utterance in plan]


@pytest.mark.parametrize(
    ("text", "speakers"),
    [
        ("“Yes,” said Alice.", ["Alice"]),
        ("“Yes,” Alice said.", ["Alice"]),
        ("“Yes!” cried Alice to Mr. Bennet.", ["Alice"]),
        ("“Yes,” said Mr. Bennet, “I do.” He left.", ["Mr. Bennet", "Mr. Bennet"]),
        ("“Yes.” Alice, smiling, softly replied.", ["Alice"]),
        ("Alice said quietly: “Yes.”", ["Alice"]),
        ("Then said Alice, “Yes.”", ["Alice"]),
        ("Lizzy then asked, “Why?”", ["Elizabeth"]),
        ("‘Yes,’ replied the\u00a0Alice.", ["Alice"]),
        ("“Yes,” said she.", [""]),
        ("“Yes,” he said to Alice.", [""]),
        ("He said to Alice, “Yes.”", [""]),
        ("“Yes,” said Alice’s sister.", [""]),
        ("“Yes,” said Alicent.", [""]),
        ("“Yes,” said Mrs. Bennet.", [""]),
        ("“Yes.” Alice said nothing.", [""]),
        ("“Yes,” said Alice. “No,” said Mr. Bennet.", ["Alice", "Mr. Bennet"]),
        ("“Yes,” said Alice. “No,” said the boy.", ["Alice", ""]),
        ("“Yes,” said Alice. “No.” “Yes,” said Mr. Bennet.", ["Alice", "", "Mr. Bennet"]),
        ("“Yes,” said Alice. “No,” she added. “No.”", ["Alice", "Alice", "Alice"]),
    ],
)
def test_a_name_beside_a_quotation_says_whose_it_is(text: str, speakers: list[str]) -> None:
    assert who(text) == speakers


def test_a_speech_over_several_paragraphs_is_of_one_person() -> None:
    assert who("“One,” said Alice. “Two.", "“Three.", "“Four.”", "“Five.”") == [
        *["Alice"] * 4,
        "",
    ]
    assert who("“One.", "“Two,” said Alice.", "“Three.”") == ["Alice", "Alice", ""]


def test_rules_come_first() -> None:
    rules = (
        Rule("Elizabeth", text=folded("Yes, my dear")),
        Rule("Mr. Bennet", attribution=folded("said her father")),
        Rule("Alice", chapter=1, paragraph=3),
    )
    cast = Cast(CAST.voices, NAMES, rules)
    assert who("“Yes,  my dear!” said Alice.", "“No,” said her father.", "“So.”", cast=cast) == [
        "Elizabeth",
        "Mr. Bennet",
        "Alice",
    ]
    assert lines_of(1, chapter_of("", "", "“So.”"), cast)[2][0].speaker == ""


def test_the_plan_is_cut_where_another_voice_begins() -> None:
    assert planned("“Stop!” cried Alice. “I say: stop.” He did.") == [
        ("Alice", "“Stop!”"),
        ("", "cried Alice."),
        ("Alice", "“I say: stop.”"),
        ("", "He did."),
    ]
    plan = plan_chapter(0, chapter_of("“Stop!” cried Alice. “Yes.”"), Pauses(), cast=CAST)
    assert [utterance.pause_after for utterance in plan[:2]] == [0.12, 0.3]
    assert plan[0].phones[-1] == "!"


def test_who_has_no_voice_is_read_by_the_narrator() -> None:
    text = "“Yes, I do,” said Bob. “Why?” said the boy."
    assert planned(text) == planned(text, cast=None)
    assert [speaker for speaker, _ in planned(text, cast=WITH_DIALOGUE)] == [
        "dialogue",
        "",
        "dialogue",
        "",
    ]


def test_one_voice_is_not_cut() -> None:
    cast = Cast({"Alice": "a.wav", "Bob": "a.wav"}, {"Alice": "Alice", "Bob": "Bob"})
    text = "“Yes.” “No,” said Alice."
    assert planned(text, cast=cast) == [("Alice", "“Yes.” “No,”"), ("", "said Alice.")]


def test_a_book_s_own_marks_say_who_speaks() -> None:
    text = "I have only been married once."
    blocks = (
        Block("paragraph", text, (Remark(0, len(text), speaker="ALICE."),)),
        Block("paragraph", text, (Remark(7, 20, speaker="Nobody"),)),
    )
    plan = plan_chapter(0, Chapter("", blocks), Pauses(), cast=CAST)
    assert [utterance.speaker for utterance in plan] == ["Alice", ""]
    same = plan_chapter(0, Chapter("", blocks), Pauses())
    assert [utterance.speaker for utterance in same] == ["", ""]
    assert [utterance.phones for utterance in same] == [utterance.phones for utterance in plan]


PIECES = st.lists(
    st.sampled_from(
        [
            "“Yes,” said Alice.", "“Yes", "”", "“", "Mr. Bennet said:", "‘No,’", "🙂", "“🙂”", "—",
            "He was running.", "“Why?” asked Lizzy, “is it so?”", "…", "\"Oh\"", "’tis", "said Bob",
            "word " * 60, "“" + "one, two; " * 30 + "”",
        ]
    ),
    max_size=8,
).map(" ".join)  # fmt: skip


@given(
    st.lists(st.one_of(PIECES, st.text(alphabet="aB “”‘’.,!?—\n", max_size=60)), max_size=4),
    st.sampled_from([CAST, WITH_DIALOGUE, Cast({"dialogue": "d"}, {}, dashes=True)]),
)
def test_nobody_s_line_is_lost_or_altered(texts: list[str], cast: Cast) -> None:
    chapter = chapter_of(*texts)
    plan = plan_chapter(0, chapter, Pauses(), cast=cast)
    shown: dict[int, str] = {}
    for utterance in plan:
        text = texts[utterance.block]
        assert text[utterance.start : utterance.start + len(utterance.text)] == utterance.text
        shown[utterance.block] = shown.get(utterance.block, "") + utterance.text
    for place, text in shown.items():
        assert "".join(text.split()) == "".join(texts[place].split())
    alone = plan_chapter(0, chapter, Pauses())
    assert {utterance.block for utterance in alone} == set(shown)


def test_without_a_cast_the_plan_is_what_it_was(shared: Path) -> None:
    chapter = read_book(shared / "books/pp.epub").chapters[2]
    assert plan_chapter(0, chapter, Pauses(), cast=Cast()) == plan_chapter(0, chapter, Pauses())


def attributed(book: Book, chapters: list[int], folder: Path) -> tuple[Cast, dict[str, str]]:
    """A book's first cast file, and the quotations of some chapters with who speaks them."""
    path = folder / "cast.yaml"
    path.write_text(draft_cast(book), encoding="utf-8")
    cast = load_cast(path)
    assert cast.voices == {}
    told: dict[str, str] = {}
    for number in chapters:
        chapter = book.chapters[number]
        for block, lines in zip(chapter.blocks, lines_of(number, chapter, cast), strict=True):
            told |= {block.text[line.start : line.end]: line.speaker for line in lines}
    return cast, told


def check_golden(told: dict[str, str], golden: dict[str, str]) -> None:
    for beginning, speaker in golden.items():
        (found,) = (said for said in told if said.startswith(beginning))
        assert (beginning, told[found]) == (beginning, speaker)


def test_pride_and_prejudice(shared: Path, tmp_path: Path) -> None:
    book = read_book(shared / "books/pp.epub")
    numbers = [n for n, chapter in enumerate(book.chapters) if _begins(chapter)]
    cast, told = attributed(book, numbers, tmp_path)
    assert next(iter(cast.names)) == "Elizabeth"
    names = {"Mrs. Bennet", "Mr. Bennet", "Miss Bingley", "Jane", "Lady Catherine", "Charlotte"}
    assert names <= set(cast.names)
    golden = {
        "“We are not in a way": "",
        "“But you forget, mamma": "Elizabeth",
        "“that we shall meet him": "Elizabeth",
        "“No more have I": "Mr. Bennet",
        "“and I am glad to find": "Mr. Bennet",
        "“Kitty has no": "",
        "“I do not cough": "Kitty",
        "“When is your next ball": "Kitty",
        "“To-morrow fortnight": "",
        "“Nonsense, nonsense": "Mrs. Bennet",
        "“What can be the meaning": "",
        "“I am sick of": "",
    }
    check_golden(told, golden)


def _begins(chapter: Chapter) -> bool:
    """Whether it is the one in which Mr. Bennet has waited on Mr. Bingley."""
    return any("among the earliest of those who waited" in block.text for block in chapter.blocks)


def test_the_time_machine(shared: Path, tmp_path: Path) -> None:
    book = read_book(shared / "books/se_h-g-wells_the-time-machine.epub")
    cast, told = attributed(book, [0], tmp_path)
    names = {"Time Traveller", "Medical Man", "Filby", "Psychologist", "Editor", "Provincial Mayor"}
    assert names <= set(cast.names)
    golden = {
        "“Is not that rather": "Filby",
        "“That is all right": "Psychologist",
        "“Nor, having only length": "",
        "“Of course a solid body": "Filby",
        "“Clearly,": "Time Traveller",
        "“any real body": "Time Traveller",
        "“that … very clear": "",
        "“I have not,": "Provincial Mayor",
        "“Well, I do not mind": "Time Traveller",  # goes on for a paragraph before he is named
        "“One might travel back": "Psychologist",
        "“To discover a society": "",
        "“Some sleight-of-hand": "Medical Man",
    }
    check_golden(told, golden)
    # Told by the Time Traveller: each paragraph opens anew, and only the last one closes.
    tale = lines_of(6, book.chapters[6], cast)
    spoken = sum(line.end - line.start for lines in tale for line in lines)
    assert spoken > 0.9 * sum(len(block.text) for block in book.chapters[6].blocks)


def test_a_cast_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "alice.wav").write_bytes(b"")
    path = tmp_path / "cast.yaml"
    path.write_text(
        "voices:\n  Alice: alice.wav\n  Mr.  Bennet: ben\n  Bob:\n"
        "aliases: {Alice: [Miss Liddell, No], Bob: Rob}\ndialogue: ada\n"
        "lines:\n  - {speaker: Rob, text: “Well!”, chapter: 2}\ndashes: true\n",
        encoding="utf-8",
    )
    cast = load_cast(path)
    assert cast.voices == {
        "Alice": str(tmp_path / "alice.wav"),
        "Mr. Bennet": "ben",
        "dialogue": "ada",
    }
    assert cast.names["Miss Liddell"] == cast.names["No"] == "Alice"
    assert cast.rules == (Rule("Bob", "“well!”", "", 2),)
    assert cast.dashes


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("voice: {}\n", "'voice'"),
        ("voices: [a]\n", "voices must hold"),
        ("voices: {a: {b: c}}\n", "one voice"),
        ("voices: {a: b}\naliases: {c: d}\n", "'c'"),
        ("voices: {a: b, c: d}\naliases: {c: a}\n", "'a'"),
        ("voices: {dialogue: b}\n", "'dialogue'"),
        ("voices: {a: b}\nlines: [{speaker: c, text: d}]\n", "'c'"),
        ("voices: {a: b}\nlines: [{speaker: a}]\n", "lacks"),
        ("voices: {a: b}\nlines: [{speaker: a, chapter: x}]\n", "numbers"),
        ("voices: {a: b}\nlines: [{speaker: a, when: x}]\n", "'when'"),
        ("voices: {a: b}\nlines: {a: b}\n", "a list"),
        ("dialogue: [a]\n", "one voice"),
        ("dashes: perhaps\n", "true or false"),
        ("- a\n", "names and values"),
        ("a: 'b\n", "not YAML"),
    ],
)
def test_wrong_cast_files_are_refused_in_a_sentence(
    tmp_path: Path, content: str, what: str
) -> None:
    path = tmp_path / "cast.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as refused:
        load_cast(path)
    assert what in str(refused.value)
    assert str(path) in str(refused.value)
