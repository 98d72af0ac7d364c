"""Readings that are given: phonetic alphabets, respellings, and words that are read as told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import SYMBOLS, Reading, speak_text
from model.text.ipa import ipa_phones, x_sampa_phones
from model.text.marks import PAUSES
from model.text.respelling import respelled


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("həˈmaɪ.ə.ni", "HH AH0 M AY1 AH0 N IY0"),
        ("ˈt͡ʃɜːrtʃ", "CH ER1 CH"),
        ("ˈtʃɪəri", "CH IH1 R IY0"),
        ("ˈbʌtn̩", "B AH1 T AH0 N"),
        ("ˌmædəmˈzɛl", "M AE2 D AH0 M Z EH1 L"),
        ("wiːnə", "W IY1 N AH0"),  # no stress: on the first full vowel
        ("bɔ̃ ʒuːʁ", "B AO1 N ZH UW1 R"),
        ("/ˈɡəʊ.ɪŋ/", "G OW1 IH0 NG"),
        ("ˈkyubɛb", "K Y UW1 B EH0 B"),  # "y" as American dictionaries write it
        ("ty", "T UW1"),
        ("ˈkæntn", "K AE1 N T AH0 N"),
        ("ˈmlɑdə", "M L AA1 D AH0"),
        ("☃", ""),
        ("wiːn☃", ""),
        ("ˈː", ""),
    ],
)
def test_ipa_becomes_arpabet(ipa: str, phones: str) -> None:
    assert " ".join(ipa_phones(ipa)) == phones


@pytest.mark.parametrize(
    ("x_sampa", "phones"),
    [
        ('t@"meIt@U', "T AH0 M EY1 T OW0"),
        ("S3`:t", "SH ER1 T"),
        ('"r\\{bIt', "R AE1 B IH0 T"),
        ("p_hInt", "P IH1 N T"),
        ("g{\\", ""),
    ],
)
def test_x_sampa_becomes_arpabet(x_sampa: str, phones: str) -> None:
    assert " ".join(x_sampa_phones(x_sampa)) == phones


@pytest.mark.parametrize(
    ("respelling", "phones"),
    [
        ("her-MY-oh-nee", "HH ER0 M AY1 OW0 N IY0"),
        ("zhuh-NEV", "ZH AH0 N EH1 V"),
        ("kuh-TOR-ee", "K AH0 T AO1 R IY0"),
        ("dar-see", "D AA1 R S IY0"),  # none marked: on the first full vowel
        ("Saint John", "S EY1 N T JH AA1 N"),
        ("KWAY", "K W EY1"),
        ("-- ''", ""),
        ("漢字", ""),
    ],
)
def test_respellings_are_read(respelling: str, phones: str) -> None:
    assert " ".join(respelled(respelling)) == phones


@given(st.one_of(st.text(max_size=20), st.text(alphabet="aeiouəɜːɪʊtdsʃʒˈˌ.̃ nmlr\"%@{}3`\\_-'")))
def test_any_text_becomes_phones_of_the_inventory_or_nothing(text: str) -> None:
    for phones in (ipa_phones(text), x_sampa_phones(text), respelled(text)):
        assert set(phones) <= set(SYMBOLS["v2"]) - PAUSES


def test_told_words_are_read_as_told_with_their_endings() -> None:
    text = "Hermione’s cat, “Hermione-like”; both Hermiones."
    told = [
        Reading(at, at + 8, "Hermione", ("HH", "ER0", "M"))
        for at in range(len(text))
        if text.startswith("Hermione", at)
    ]
    words = {word.printed: word for word in speak_text(text, readings=told).words}
    assert words["Hermione’s"].phones == words["Hermiones"].phones == ("HH", "ER0", "M", "Z")
    assert words["Hermione"].phones == ("HH", "ER0", "M")
    assert words["like"].phones == ("L", "AY1", "K")
    assert words["cat"].phones == speak_text("cat").phones


def test_what_is_said_instead_belongs_to_what_is_printed() -> None:
    text = "The W3C’s rules."
    words = speak_text(text, readings=[Reading(4, 7, "World Wide Web Consortium")]).words
    assert [word.printed for word in words] == ["The", "W3C’s", "rules", "."]
    assert words[1].spoken == "World Wide Web Consortium's"
    plain = speak_text("The World Wide Web Consortium’s rules.")
    assert tuple(p for word in words for p in word.phones) == plain.phones


TEXT = st.text(alphabet="aB I19.,'’-—“” é漢か가\n", max_size=40)
READINGS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 12), st.sampled_from(["phones", "said", "en"])),
    max_size=4,
)


@given(TEXT, READINGS, st.sampled_from([("en", ""), ("en", "v2")]))
def test_words_cover_the_text_whatever_is_told(
    text: str, drawn: list[tuple[int, int, str]], how: tuple[str, str]
) -> None:
    readings: list[Reading] = []
    for start, length, kind in sorted(drawn):
        end = min(start + length, len(text))
        if start >= end or not text[start:end].strip() or (readings and start < readings[-1].end):
            continue
        readings.append(
            Reading(
                start,
                end,
                said="two words" if kind != "en" else "",
                phones=("HH", "AY1") if kind == "phones" else (),
                language="en" if kind == "en" else "",
            )
        )
    at = 0
    for word in speak_text(text, *how, readings).words:
        assert not text[at : word.start].strip()
        assert word.start < word.end
        assert text[word.start : word.end] == word.printed
        at = word.end
    assert not text[at:].strip()


def test_a_stretch_of_another_language_is_read_in_it() -> None:
    pytest.importorskip("pypinyin", reason="needs the extra 'chinese'")
    text = "He said 你好 to me."
    words = speak_text(text, "en", "v2", [Reading(8, 10, language="zh")]).words
    assert [word.phones for word in words if word.language == "zh"] == [("n", "i2"), ("h", "ao3")]
    assert speak_text("你好", "zh", "v2").words[0].phones == ("n", "i2")
    phones = speak_text("我們說 oui 了。", "zh", "v2", [Reading(4, 7, "we", ("W", "IY1"))]).words
    assert next(word.phones for word in phones if word.printed == "oui") == ("W", "IY1")
    inside = [Reading(1, 2, "hello", ("HH", "AH0"))]
    assert [w.printed for w in speak_text("你好嗎", "zh", "v2", inside).words] == ["你", "好", "嗎"]
    said = [Reading(0, 2, "您好"), Reading(2, 3, language="zh")]
    assert [w.printed for w in speak_text("你好嗎", "zh", "v2", said).words] == ["你好", "嗎"]


def test_a_japanese_reading_takes_the_place_of_its_characters() -> None:
    pytest.importorskip("pyopenjtalk", reason="needs the extra 'japanese'")
    text = "宇宙は広い。"
    words = speak_text(text, "ja", "v2", [Reading(0, 2, "そら")]).words
    assert [word.printed for word in words] == ["宇宙は広い", "。"]
    assert words[0].phones == speak_text("そらは広い", "ja", "v2").phones
