"""Japanese: sounds, pitch and what numbers, signs and Latin letters are said as."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from model.text import SYMBOLS

pytest.importorskip("pyopenjtalk", reason="needs the extra 'japanese'")
pytest.importorskip("arpakana", reason="needs the extra 'japanese'")

from model.text.japanese import read_japanese


def phones(text: str) -> str:
    return " ".join(phone for word in read_japanese(text) for phone in word.phones)


def said(text: str) -> str:
    return "".join(word.spoken or word.printed for word in read_japanese(text))


def test_sounds_and_pitch() -> None:
    assert phones("こんにちは、世界。") == "k o [ N n i ch i w a , s e ] k a i ."
    assert phones("学校、雑誌") == "g a [ cl k o o , z a [ cl sh i"
    assert phones("リンゴ・バナナ") == "r i [ N g o _ b a ] n a n a"


def test_accent_phrases_are_parted_by_unknown() -> None:
    assert phones("私は行く。").split().count("UNK") == 1


def test_quotes_part_as_borders_do_and_signs_pause() -> None:
    assert phones("「はい」") == "UNK h a ] i UNK"
    assert phones("はい　はい") == "h a ] i UNK h a ] i"
    assert phones("はい：はい") == phones("はい、はい")


@pytest.mark.parametrize(
    ("printed", "spoken"),
    [
        ("1,234円", "1234円"),
        ("3.14です", "3点イチヨンです"),
        ("03-1234-5678", "ゼロサンノイチニーサンヨンノゴーロクナナハチ"),
        ("気温は-5℃", "気温はマイナス5度"),
        ("50%と５０％", "50パーセントと50パーセント"),
        ("2024/5/1", "2024年5月1日"),
        ("10:30に", "10時30分に"),
        ("5〜10個", "5から10個"),
        ("$100と￥200", "100ドルと200円"),
        ("10kmと5kg", "10キロメートルと5キログラム"),
        ("1/2", "2分の1"),
        ("NHKとNASA", "ＮＨＫとナサ"),
        ("Tシャツ", "Ｔシャツ"),
        ("niceなhello", "ナイスなハロー"),
    ],
)
def test_written_out(printed: str, spoken: str) -> None:
    assert said(printed) == spoken


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyopenjtalk", None)
    with pytest.raises(UserError, match=r"install -c constraints.txt -e '\.\[japanese\]'"):
        read_japanese("はい")


def test_nothing_to_say() -> None:
    assert read_japanese("") == ()
    assert phones("ー") == ""


@given(st.text(alphabet="あーっ漢字カ。、「」…!? \n1.,:/-%$Aa٣é", max_size=20))
def test_any_text(text: str) -> None:
    words = read_japanese(text)
    assert {phone for word in words for phone in word.phones} <= set(SYMBOLS["v2"])
    assert all(text[word.start : word.end] == word.printed for word in words)
    covered = {place for word in words for place in range(word.start, word.end)}
    assert all(place in covered for place, letter in enumerate(text) if not letter.isspace())
