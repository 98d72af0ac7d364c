"""Phones of words: dictionaries, regular forms, old spellings, guesses."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import SYMBOLS, corpus_phones, speak_text, with_end
from model.text.guess import guess_phones
from model.text.learned import SECOND, WITH_IH
from model.text.lexicon import dictionary, from_ipa, pronounce, readings


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("a", "AH0"),
        ("the", "DH AH0"),
        ("to", "T UW1"),
        ("I", "AY1"),
        ("a.", "EY1"),
        ("w.", "D AH1 B AH0 L Y UW0"),
        ("colour", "K AH1 L ER0"),
        ("grey", "G R EY1"),
        ("realised", "R IY1 AH0 L AY2 Z D"),
        ("endeavoured", "IH0 N D EH1 V ER0 D"),
        ("theatre", "TH IY1 AH0 T ER0"),
        ("gaol", "JH EY1 L"),
        ("hath", "HH AE1 TH"),
        ("thy", "DH AY1"),
        ("goeth", "G OW1 AH0 TH"),
        ("shewn", "SH OW1 N"),
        ("connexion", "K AH0 N EH1 K SH AH0 N"),
        ("Cæsar", "S IY1 Z ER0"),
        ("naïve", "N AY2 IY1 V"),
        ("boss's", "B AO1 S IH0 Z"),
        ("witches'", "W IH1 CH AH0 Z"),
        ("sloped", "S L OW1 P T"),
        ("paler", "P EY1 L ER0"),
        ("coarsest", "K AO1 R S AH0 S T"),
        ("unamiable", "AH0 N EY1 M IY0 AH0 B AH0 L"),
        ("enamoured", "EH0 N AE1 M ER0 D"),
        ("reechoed", "R IY0 EH1 K OW0 D"),
        ("unlikelier", "AH0 N L AY1 K L IY0 ER0"),
        ("goin'", "G OW1 AH0 N"),
        ("workin'", "W ER1 K AH0 N"),
        ("o'er", "AO1 R"),
        ("ma'am", "M AE1 M"),
        ("bloodred", "B L AH1 D R IH0 D"),
        ("xkcd", "EH1 K S K EY1 S IY1 D IY1"),
        ("Weena", "W IY1 N AH0"),
        ("Morlocks", "M AO1 R L AH0 K S"),
    ],
)
def test_pronounce(word: str, phones: str) -> None:
    assert " ".join(pronounce(word)) == phones


def test_misaki_ipa() -> None:
    assert from_ipa("θˈiəɾəɹ", "theatre") == ("TH", "IY1", "AH0", "T", "ER0")
    assert from_ipa("hæθ", "hath") == ("HH", "AE1", "TH")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'é", min_size=1, max_size=25))
def test_any_word_has_inventory_phones(word: str) -> None:
    phones = pronounce(word)
    assert set(phones) <= set(SYMBOLS["v2"])
    assert phones or not any(letter.isalpha() for letter in word)


def test_guess_is_bounded_and_repeatable() -> None:
    assert 0 < len(guess_phones("ab" * 60)) <= 24
    assert guess_phones("zyxomatic") == guess_phones("zyxomatic")
    assert guess_phones("'é") == ()


def test_agrees_with_the_training_speech(shared: Path) -> None:
    """Few hundred sentences; what differs is homographs and words that the corpus guessed."""
    lines = (shared / "corpus/manifest.jsonl").read_text("utf-8").splitlines()[::20]
    same = total = 0
    for entry in map(json.loads, lines):
        ours, theirs = with_end(speak_text(entry["text"]).phones), corpus_phones(entry["words"])
        total += 1
        same += ours == theirs
    assert same / total > 0.85


def test_listed_words_have_the_reading_that_is_chosen() -> None:
    assert all(len(readings(word)) > 1 for word in SECOND)
    assert all("AH0" in readings(word)[0] for word in WITH_IH)
    assert dictionary("alice") == ("AE1", "L", "IH0", "S")
    assert dictionary("noticed") == ("N", "OW1", "T", "IH0", "S", "T")
