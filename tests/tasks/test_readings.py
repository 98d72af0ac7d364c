"""What a book says of its words is heard, and never shown."""

import pytest

from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Block, Chapter, Remark


def planned(text: str, *remarks: Remark, version: str = "") -> tuple[list[Utterance], list[str]]:
    warnings: list[str] = []
    chapter = Chapter("", (Block("paragraph", text, remarks),))
    return plan_chapter(0, chapter, Pauses(), "en", version, warn=warnings.append), warnings


def said(text: str, *remarks: Remark) -> str:
    (utterance,), warnings = planned(text, *remarks)
    assert utterance.text == text
    assert not warnings
    assert sum(token.phones for token in utterance.tokens) <= len(utterance.phones)
    return " ".join(utterance.phones)


def at(text: str, printed: str, **told: str) -> Remark:
    start = text.index(printed)
    return Remark(start, start + len(printed), **told)


def test_what_is_said_stands_for_what_is_printed() -> None:
    text = "The W3C met in May of that year."
    assert said(text, at(text, "W3C", said="World Wide Web Consortium")) == said(
        "The World Wide Web Consortium met in May of that year."
    )


@pytest.mark.parametrize(
    ("alphabet", "phonemes"), [("ipa", "pɪˈkɑːn"), ("x-sampa", 'pI"kA:n'), ("", "pɪˈkɑːn")]
)
def test_phonemes_are_spoken(alphabet: str, phonemes: str) -> None:
    text = "A pecan’s shell is hard."
    assert "P IH0 K AA1 N Z SH" in said(
        text, at(text, "pecan", phonemes=phonemes, alphabet=alphabet)
    )


@pytest.mark.parametrize("told", [{"phonemes": "☃"}, {"phonemes": "x", "alphabet": "bopomofo"}])
def test_unknown_phonemes_are_read_as_usual_and_reported(told: dict[str, str]) -> None:
    text = "A pecan is hard."
    (utterance,), warnings = planned(text, at(text, "pecan", **told))
    assert " ".join(utterance.phones) == said(text)
    assert len(warnings) == 1
    assert "pecan" in warnings[0]


def test_letters_and_numerals() -> None:
    text = "The SIN of it."
    assert "EH1 S AY1 EH1 N" in said(text, at(text, "SIN", role="letters"))
    text = "King Edward I came, and read chapter i of it."
    assert said(text, at(text, "I", role="roman"), at(text, "i of", role="")) == said(
        "King Edward the first came, and read chapter i of it."
    )
    text = "Edward came, and read chapter iv of it."
    assert said(text, at(text, "iv", role="roman")) == said(
        "Edward came, and read chapter four of it."
    )
    assert said("MMXX.", at("MMXX.", "MMXX", role="roman")) == said("Twenty twenty.")
    text = "Two MPs left."
    assert "EH1 M P IY1 Z" in said(text, at(text, "MPs", role="letters"))


def test_a_stop_that_ends_the_sentence_still_ends_it() -> None:
    text = "They sold pens, ink, etc. There was nobody N. of the river. At last she went E."
    told = [at(text, "etc.", said="and so on"), at(text, "N.", phonemes="nɔrθ")]
    utterances, _ = planned(text, *told, at(text, "E.", phonemes="ist"))
    assert [utterance.text.split()[-1] for utterance in utterances] == ["etc.", "river.", "E."]
    assert utterances[0].phones[-3:] == ("AA1", "N", ".")
    assert " ".join(utterances[1].phones).count("N AO1 R TH AH1 V") == 1
    assert utterances[2].phones[-4:] == ("IY1", "S", "T", ".")


def test_a_language_that_the_voice_does_not_speak_changes_nothing() -> None:
    text = "She said “bonjour” and 你好 to us all."
    plain = said(text)
    assert said(text, at(text, "bonjour", language="fr"), at(text, "你好", language="zh")) == plain


def test_a_language_that_the_model_speaks_is_read_in_it() -> None:
    pytest.importorskip("pypinyin", reason="needs the extra 'chinese'")
    text = "She said 你好 to us all, and left."
    (utterance,), _ = planned(text, at(text, "你好", language="zh-CN"), version="v2")
    assert {"n", "i2", "h", "ao3"} <= set(utterance.phones)


def test_what_is_read_as_one_is_not_cut() -> None:
    text = "He had met Dr. No. Nobody else had. " + "He went home. " * 2
    (first, *_), _ = planned(text, at(text, "Dr. No. Nobody", said="a man"))
    assert "Dr. No. Nobody" in first.text


@pytest.mark.parametrize(
    "remark",
    [
        Remark(5, 2, said="x"),
        Remark(-1, 2, said="x"),
        Remark(0, 999, said="x"),
        Remark(0, 1, said="x " * 5000),
        Remark(0, 1, said="  "),
        Remark(0, 1, phonemes="a" * 100_000),
        Remark(3, 3, language="zh"),
        Remark(0, 4, language="☃"),
        Remark(0, 2, role="roman"),
        Remark(0, 1, role="letters"),
    ],
)
def test_odd_remarks_lose_nothing(remark: Remark) -> None:
    text = "❦ A pecan is hard."
    utterances, _ = planned(text, remark)
    assert " ".join(utterance.text for utterance in utterances) == text
    assert sum(len(utterance.phones) for utterance in utterances) < 200
