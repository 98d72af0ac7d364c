"""Korean: pronunciation rules, numbers and Latin letters, symbols word by word."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from model.text import SYMBOLS

pytest.importorskip("mecab", reason="needs the extra 'korean'")
pytest.importorskip("jamo", reason="needs the extra 'korean'")

from model.text.korean import read_korean

_JOINED = str.maketrans({"空": " "})


def phones(text: str) -> str:
    return "".join(phone for word in read_korean(text) for phone in word.phones).translate(_JOINED)


@pytest.mark.parametrize(
    ("printed", "sounds"),
    [
        ("같이", "ㄱㅏㅊㅣ"),
        ("독립문", "ㄷㅗㅇㄴㅣㅁㅁㅜㄴ"),
        ("좋아요.", "ㅈㅗㅇㅏㅇㅣㅗ."),
        ("옷 한 벌", "ㅇㅗ ㅌㅏㄴ ㅂㅓㄹ"),
        ("정말?!", "ㅈㅓㅇㅁㅏㄹ?!"),
    ],
)
def test_pronunciation(printed: str, sounds: str) -> None:
    assert phones(printed) == sounds


@pytest.mark.parametrize(
    ("printed", "written"),
    [
        ("3.14", "삼쩜일사"),
        ("100", "백"),
        ("2024", "이천이십사"),
        ("50%", "오십퍼센트"),
        ("10km", "십킬로미터"),
        ("12:30", "열두시삼십분"),
        ("1/2", "이분의일"),
        ("$100", "백달러"),
        ("-5℃", "마이너스오도"),
        ("5명", "다섯명"),
        ("3시간", "세시간"),
        ("20명", "스무명"),
        ("제3장", "제삼장"),
        ("2024-05-01", "이천이십사년오월일일"),
        ("010-1234", "영일영-일이삼사"),
        ("7살", "일곱살"),
        ("KBS", "케이비에스"),
    ],
)
def test_numbers_and_letters_read_as_if_written(printed: str, written: str) -> None:
    assert phones(printed) == phones(written)


def test_words_hold_their_sounds() -> None:
    words = read_korean("할 수 있다")
    assert [word.printed for word in words] == ["할", "수", "있다"]
    assert words[0].phones == ("ㅎ", "ㅏ", "ㄹ", "空")
    assert [word.spoken for word in read_korean("5명, 왔다.")] == ["다섯명", "왔다"]
    assert len(read_korean("첫 줄\n둘째 줄")) == 1


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jamo", None)
    with pytest.raises(UserError, match=r"install -c constraints.txt -e '\.\[korean\]'"):
        read_korean("네")


def test_nothing_to_say() -> None:
    assert read_korean("") == ()


@given(st.text(alphabet='안값을 ㅏ\n.,!?;"-/:%$0123Aa٣é漢', max_size=20))
def test_any_text(text: str) -> None:
    words = read_korean(text)
    assert {phone for word in words for phone in word.phones} <= set(SYMBOLS["v2"])
    assert all(text[word.start : word.end] == word.printed for word in words)
