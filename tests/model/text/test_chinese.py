"""Mandarin and Cantonese: the inventory's phones, sandhi, numbers, and what differs on purpose."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.chinese_differences import CHINESE_DIFFERENCES, Difference
from benchmarks.text_rules import RULES, excuse
from configs.errors import UserError
from model.text import SYMBOLS, phone_ids, speak_text
from model.text.cantonese import read_cantonese
from model.text.chinese import read_chinese, read_chinese_v1
from model.text.optional import optional_module
from model.text.words import Word

for package in ("cn2an", "jieba", "pypinyin", "ToJyutping"):
    pytest.importorskip(package, reason="needs the extra 'chinese'")

READERS = {
    "g2p_zh": read_chinese,
    "g2p_zh_v1": read_chinese_v1,
    "g2p_yue": read_cantonese,
}


def characters(words: Sequence[Word]) -> str:
    return "".join(word.characters for word in words)


def phones(words: Sequence[Word]) -> str:
    return " ".join(phone for word in words for phone in word.phones)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_reads_as_the_models_learned_but_for_known_differences(name: str, shared: Path) -> None:
    cases = json.loads((shared / f"parity/text/{name}.json").read_text(encoding="utf-8"))
    version = "v1" if name.endswith("v1") else "v2"
    different = []
    for case in cases:
        words = READERS[name](case["text"])
        found = (
            characters(words),
            phones(words).split(),
            phone_ids(phones(words).split(), version),
            [count for word in words for count in word.word2ph],
        )
        expected = (case["normalized"], case["phones"], case[f"ids_{version}"], case["word2ph"])
        if found != expected:
            reasons = excuse(words, case["text"], case["phones"], RULES["zh"])
            different.append((case["text"], reasons))

    assert [text for text, reasons in different if not reasons] == []
    assert len(different) <= 0.06 * len(cases)


@pytest.mark.parametrize(
    "difference", CHINESE_DIFFERENCES, ids=lambda difference: difference.pattern
)
def test_what_differs_is_right(difference: Difference) -> None:
    found = {text: characters(read_chinese(text)) for text, _ in difference.examples}

    assert found == dict(difference.examples)


READINGS = [
    # Tones of 不 and 一
    ("我不怕", "w o3 b u2 p a4"),
    ("看不懂", "k an4 b u5 d ong3"),
    ("看一看", "k an4 y i5 k an4"),
    ("第一天", "d i4 y i1 t ian1"),
    ("一，二", "y i1 , EE er4"),
    # Third tones
    ("纸老虎", "zh ir3 l ao2 h u3"),
    ("展览馆", "zh an2 l an2 g uan3"),
    # Neutral tones
    ("奶奶试试看", "n ai3 n ai5 sh ir4 sh ir5 k an4"),
    ("馒头和饺子", "m an2 t ou5 h e2 j iao3 z i05"),
    # 儿 sounds with the syllable before, unless it is a child
    ("玩儿", "w an2 EE er2"),
    ("点儿", "d ian3 EE er3"),
    ("女儿", "n v3 EE er2"),
    # Readings by phrase
    ("银行", "y in2 h ang2"),
    ("行人", "x ing2 r en2"),
    ("重庆的重要", "ch ong2 q ing4 d e5 zh ong4 y ao4"),
    # Syllables without a consonant, and those that spelling hides
    ("安鹅欧", "AA an1 EE e2 OO ou1"),
    ("云月远鱼", "y vn2 y ve4 y van3 y v2"),
    ("野烟羊", "y E3 y En1 y ang2"),
    ("文翁我", "w en2 w eng1 w o3"),
    ("嗯", "EE en1"),
]


@pytest.mark.parametrize(("printed", "expected"), READINGS)
def test_mandarin_phones(printed: str, expected: str) -> None:
    assert phones(read_chinese(printed)) == expected


def test_models_of_v1_learned_the_tone_of_er_as_it_is() -> None:
    assert phones(speak_text("点儿", "zh").words).endswith("EE er3")
    assert phones(speak_text("点儿", "zh", version="v1").words).endswith("EE er2")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("佢好叻", "Yk Yeoi5 Yh You2 Yl Yek1"),
        ("唔五", "Ym Ym4 Yng Yg5"),
        ("鸭安屋", "Yaa Yp3 Yon Yn1 Yuk Yk1"),
        ("係咪呀？！", "Yh Yai6 Ym Yai6 Yaa Ya3 ? !"),
    ],
)
def test_cantonese_phones(printed: str, expected: str) -> None:
    assert phones(read_cantonese(printed)) == expected


def test_a_word_knows_what_was_printed_for_it() -> None:
    words = speak_text("他有25本《書》。", "zh").words

    assert [(word.printed, word.spoken) for word in words] == [
        ("他", "他"), ("有", "有"), ("25本", "二十五本"),
        ("《", ""), ("書", "书"), ("》", ""), ("。", ""),
    ]  # fmt: skip
    assert [word.word2ph for word in words] == [(2,), (2,), (2, 2, 2, 2), (), (2,), (), (1,)]


def test_english_words_in_chinese_are_read_as_english() -> None:
    spoken = speak_text("我用iPhone拍了3张照片。", "zh-CN")

    assert [word.language for word in spoken.words if word.printed in {"iPhone", "3张"}] == [
        "en",
        "zh",
    ]
    assert spoken.unspoken == ()


def test_only_marks_are_silent() -> None:
    assert speak_text("……！", "zh").is_silent
    assert speak_text("—", "zh").phones == ()
    assert [word.printed for word in speak_text("噷，好", "zh").unspoken] == ["噷"]


@given(
    st.text(
        st.one_of(
            st.sampled_from("一不儿的个了好老虎重行嗯噷〇。，！？…—-～~ \n"),
            st.sampled_from("0123456789.,:/%$￥^+=年月日点度第两℃k"),
            st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF),
            st.characters(),
        ),
        max_size=24,
    )
)
@settings(max_examples=25)
def test_any_text_is_read_whole(text: str) -> None:
    for language in ("zh", "yue"):
        for version in ("v1", "v2") if language == "zh" else ("v2",):
            spoken = speak_text(text, language, version)
            covered = {at for word in spoken.words for at in range(word.start, word.end)}

            assert all(text[word.start : word.end] == word.printed for word in spoken.words)
            assert all(at in covered or text[at].isspace() for at in range(len(text)))
            assert set(spoken.phones) <= set(SYMBOLS[version])
            for word in spoken.words:
                if word.language != "en":
                    assert len(word.characters) == len(word.word2ph)
                    assert sum(word.word2ph) == len(word.phones)


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(UserError, match=r"package not_there: .* -e '\.\[chinese\]'"):
        optional_module("not_there.part", "chinese")
