"""The lexicon changes what is heard of a word, wherever it stands, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UsageError
from tasks.lexicon import Entry, Lexicon, load_lexicon, read_entries, write_entry
from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Block, Chapter, Remark, read_book

HERMIONE = Entry("Hermione", say="her-MY-oh-nee")
SOUND = "HH ER0 M AY1 OW0 N IY0"


def lexicon_of(*entries: Entry) -> Lexicon:
    return Lexicon({entry.word: entry.check() for entry in entries})


def planned(text: str, *entries: Entry, remarks: tuple[Remark, ...] = ()) -> list[Utterance]:
    chapter = Chapter("", (Block("paragraph", text, remarks),))
    return plan_chapter(0, chapter, Pauses(), "en-GB", lexicon=lexicon_of(*entries))


def said(text: str, *entries: Entry) -> str:
    return " ".join(phone for utterance in planned(text, *entries) for phone in utterance.phones)


def found(text: str, *entries: Entry, language: str = "en-GB") -> list[str]:
    readings = lexicon_of(*entries).readings(text, lambda _: language)
    return [text[reading.start : reading.end] for reading in readings]


def test_an_entry_is_heard_and_the_print_is_shown() -> None:
    (utterance,) = planned("“Hermione’s here,” said Hermione; three Hermiones!", HERMIONE)
    assert utterance.text == "“Hermione’s here,” said Hermione; three Hermiones!"
    heard = " ".join(utterance.phones)
    assert heard.count(f"{SOUND} Z") == 2
    assert heard.count(SOUND) == 3


@pytest.mark.parametrize(
    ("entry", "phones"),
    [
        (Entry("Weena", phones="w iy1 n ah0"), "W IY1 N AH0"),
        (Entry("Weena", ipa="ˈwiːnə"), "W IY1 N AH0"),
        (Entry("Weena", say="WEE-nuh"), "W IY1 N AH0"),
    ],
)
def test_three_ways_to_say_it(entry: Entry, phones: str) -> None:
    assert phones in said("I saw Weena at once.", entry)


@pytest.mark.parametrize(
    ("entry", "text", "matches"),
    [
        (Entry("Polish", say="POH-lish"), "Polish POLISH polish", ["Polish", "POLISH"]),
        (Entry("Polish", say="POH-lish", case="exact"), "Polish POLISH polish", ["Polish"]),
        (Entry("Polish", say="POH-lish", case="any"), "Polish polish", ["Polish", "polish"]),
        (Entry("colonel", say="KER-nul"), "Colonel COLONELS", ["Colonel", "COLONEL"]),
        (Entry("hi", say="hay"), "hi his HI hi's", ["hi", "HI", "hi"]),
        (Entry("I", say="ee"), "I is Is I’m", ["I", "I"]),
        (Entry("Sidi Bou Said", say="see"), "Sidi  Bou Said Sidi", ["Sidi  Bou Said"]),
        (Entry("d'Artagnan", say="dar"), "d’Artagnan Artagnan", ["d’Artagnan"]),
        (Entry("to-day", say="tuh-DAY"), "to‑day today", ["to‑day"]),
        (Entry("Élan", say="AY-lahn"), "Élan E\u0301lan", ["Élan", "E\u0301lan"]),
        (Entry("man", say="mahn"), "manly human man-made man_x", ["man"]),
        (Entry("C++", say="see plus"), "C++ C C+++", ["C++", "C++"]),
        (Entry("東京", say="とうきょう"), "在東京都", ["東京"]),
        (Entry("der", say="dair", language="de"), "der", []),
        (Entry("the", say="thee", language="en"), "the", ["the"]),
        (Entry("the", say="thee", language="en-US"), "the", []),
    ],
)  # fmt: skip
def test_what_an_entry_is_for(entry: Entry, text: str, matches: list[str]) -> None:
    assert found(text, entry) == matches


def test_the_longest_entry_wins_then_the_same_capitals() -> None:
    entries = [
        Entry("Said", say="sah-EED"),
        Entry("said", say="sed"),
        Entry("Bou Said", say="boo sah-EED"),
    ]
    assert found("He said Bou Said, Said said.", *entries) == ["said", "Bou Said", "Said", "said"]
    readings = lexicon_of(*entries).readings("said Said", lambda _: "en")
    assert [reading.phones[-1] for reading in readings] == ["D", "D"]
    assert readings[0].phones != readings[1].phones


def test_a_word_wins_over_the_plural_of_another() -> None:
    entries = [Entry("Jone", say="JOH-nee"), Entry("Jones", say="KAY")]
    readings = lexicon_of(*entries).readings("Jones Jone’s", lambda _: "en")
    assert [reading.phones[-1] for reading in readings] == ["EY1", "IY0"]


def test_an_entry_wins_over_abbreviations_numbers_and_the_book() -> None:
    assert "D AY1 N OW0" in said("We saw Dr. No again.", Entry("Dr. No", say="DY-noh"))
    assert "F AO1" in said("It cost 1,000 then.", Entry("1,000", say="for"))
    text = "I saw Weena at once."
    remark = Remark(6, 11, phonemes="ˈviːna")
    told = planned(text, Entry("Weena", say="KAY"), remarks=(remark,))
    assert "K EY1" in " ".join(told[0].phones)


def test_only_utterances_with_the_word_change(shared: Path) -> None:
    chapter = read_book(shared / "books/se_h-g-wells_the-time-machine.epub").chapters[7]
    before = plan_chapter(0, chapter, Pauses())
    after = plan_chapter(0, chapter, Pauses(), lexicon=lexicon_of(Entry("Weena", say="way-NAH")))
    assert [utterance.text for utterance in after] == [utterance.text for utterance in before]
    changed = [old.text for old, new in zip(before, after, strict=True) if old.phones != new.phones]
    assert changed == [utterance.text for utterance in before if "Weena" in utterance.text]
    assert changed


@given(st.lists(st.sampled_from(["Weena", "WEENA", "weenas", "Dr. No’s", "No", "—", "Dr.", "🙂."])))
def test_no_text_is_lost(words: list[str]) -> None:
    text = " ".join(words)
    entries = [Entry("Weena", say="WEE-nah"), Entry("Dr. No", say="no"), Entry("No", ipa="noʊ")]
    shown = "".join(utterance.text for utterance in planned(text, *entries))
    assert "".join(shown.split()) in ("".join(text.split()), "")
    assert shown or not any(character.isalpha() for character in text)


def test_files_are_read_and_later_ones_win(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("# names\nWeena: WEE-nah\nNo: {say: noh}\n1984: nineteen eighty-four\n")
    two.write_text('"Weena":\n  ipa: ˈviːna\n  case: exact\n', encoding="utf-8")
    entries = load_lexicon([one, two]).entries
    assert entries["Weena"] == Entry("Weena", ipa="ˈviːna", case="exact")
    assert set(entries) == {"Weena", "No", "1984"}
    (tmp_path / "none.yaml").write_text("")
    assert load_lexicon([tmp_path / "none.yaml"]).entries == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("- a\n", "names and values"),
        ("a: [b]\n", "'a'"),
        ("a: {say: b, sing: c}\n", "'sing'"),
        ("a: {say: b, ipa: c}\n", "one of say, phones and ipa"),
        ("a: {case: any}\n", "one of say, phones and ipa"),
        ("a: {say: b, case: some}\n", "'some'"),
        ("a: {phones: HH ER}\n", "'ER'"),
        ("a: {phones: HH AX0}\n", "'AX0'"),
        ("a: {ipa: ☃}\n", "IPA"),
        ("a: '--'\n", "no sound"),
        ("a: '♪♪'\n", "no sound"),
        ("'!': b\n", "letter or a digit"),
        ("a: {say: {b: c}}\n", "'a'"),
        ("a: 'b\n", "not YAML"),
        ("a: &x [*x, *x]\n", "YAML"),
        ("[" * 500, "not YAML"),
        ("a: " + "ba" * 60 + "\n", "too long"),
        ("? [a]\n: b\n", "YAML"),
    ],
)
def test_wrong_files_are_refused_in_a_sentence(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as refused:
        read_entries(path)
    assert what in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="can't be read"):
        read_entries(path)
    with pytest.raises(UsageError, match="can't be read"):
        read_entries(tmp_path / "missing.yaml")


def test_an_entry_is_written_into_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# my names\nWeena: WEE-nah  # the Eloi\nEloi:\n  say: EE-loy\n\n# m\nMorlock: MOR-lok"
    )
    assert write_entry(path, "Eloi", Entry("Eloi", ipa="ˈiːlɔɪ"))
    assert not write_entry(path, "No", Entry("No", say="noh", case="exact"))
    assert path.read_text() == (
        "# my names\nWeena: WEE-nah  # the Eloi\nEloi: {ipa: ˈiːlɔɪ}\n\n# m\nMorlock: MOR-lok\n"
        "'No': {say: noh, case: exact}\n"
    )
    assert write_entry(path, "Weena", None)
    assert not write_entry(path, "Weena", None)
    assert [entry.word for entry in read_entries(path)] == ["Eloi", "Morlock", "No"]
    assert path.read_text().startswith("# my names\nEloi")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_new_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mine.yaml"
    assert not write_entry(path, HERMIONE.word, HERMIONE)
    assert path.read_text() == "Hermione: her-MY-oh-nee\n"
    assert write_entry(path, HERMIONE.word, None)
    assert read_entries(path) == []


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["No", "1984", "d'Artagnan", "a: b", "#x9", "Élan", "true", "a  b"]),
            st.sampled_from([Entry("x", say="noh"), Entry("x", ipa="noʊ"), None]),
        ),
        max_size=8,
    )
)
def test_what_is_written_is_read(tmp_path_factory, steps) -> None:
    path = tmp_path_factory.mktemp("lexicon") / "mine.yaml"
    expected: dict[str, Entry] = {}
    for word, given_entry in steps:
        if not word[0].isalnum():
            continue
        entry = given_entry and Entry(word, given_entry.say, ipa=given_entry.ipa)
        write_entry(path, word, entry)
        expected.pop(" ".join(word.split()), None)
        if entry:
            expected[" ".join(word.split())] = entry
    if path.exists():
        read = {entry.word: (entry.say, entry.ipa) for entry in read_entries(path)}
        assert read == {word: (entry.say, entry.ipa) for word, entry in expected.items()}
