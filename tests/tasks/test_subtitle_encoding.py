"""The encodings of subtitle files: marks, zeros, UTF-8 and what old programs wrote."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from tasks.subtitle_encoding import decode_subtitles, is_text

TIMES = "1\r\n00:00:01,000 --> 00:00:02,000\r\n"
TEXTS = {
    "gb18030": "你好，世界。我们走吧！",
    "big5hkscs": "你好，世界。我們走吧！你在做什麼？",
    "cp932": "こんにちは、世界。行きましょう～",
    "euc_jp": "こんにちは、世界。行きましょう！",
    "cp949": "안녕하세요, 세계. 갑시다!",
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "iso8859-2": "Zażółć gęślą jaźń, proszę pana.",
    "cp1251": "Привет, мир. Пойдём отсюда!",
    "koi8-r": "Привет, мир. Пойдём отсюда!",
    "cp1252": "C’est déjà l’été à Besançon, n’est-ce pas?",
    "cp1253": "Καλημέρα κόσμε, πού πηγαίνεις;",
    "cp1254": "Günaydın dünya, nereye gidiyorsun? Şimdi değil, ağabey.",
    "cp1255": "שלום עולם, לאן אתה הולך?",
    "cp1256": "مرحبا بالعالم، إلى أين تذهب؟",
    "cp1257": "Labas rytas, pasauli, kur eini? Ačiū už žodžius.",
    "cp874": "สวัสดีชาวโลก คุณจะไปไหน",
}


@pytest.mark.parametrize(("encoding", "text"), TEXTS.items())
def test_old_encodings_are_told_from_one_line(encoding: str, text: str) -> None:
    whole = TIMES + text
    decoded, _, mended = decode_subtitles("a.srt", whole.encode(encoding))
    assert decoded == whole
    assert mended[0].startswith("It is not UTF-8")


@pytest.mark.parametrize("text", TEXTS.values())
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_unicode_needs_no_mark(mark: bytes, encoding: str, text: str) -> None:
    content = mark + (TIMES + text).encode(encoding)
    assert is_text(content)
    assert decode_subtitles("a.srt", content)[:2] == (TIMES + text, encoding)


def test_a_language_decides_where_bytes_do_not() -> None:
    content = "Ё-моё".encode("cp1251")
    assert decode_subtitles("a.srt", content, "ru")[0] == "Ё-моё"


def test_damaged_utf8_stays_utf8() -> None:
    content = ("Größe, Übung, Straße. " * 20).encode() + b"\xc3"
    text, encoding, mended = decode_subtitles("a.srt", content)
    assert (text, encoding) == ("Größe, Übung, Straße. " * 20, "utf-8")
    assert mended == ["Bytes that are not utf-8 were left out: 1."]


def test_control_characters_go() -> None:
    assert decode_subtitles("a.srt", b"A\x01B\tC")[0] == "AB\tC"


@pytest.mark.parametrize("content", [bytes(range(256)) * 40, b"\x00" * 1000, b"MZ\x90\x00" * 500])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    assert not is_text(content)
    with pytest.raises(UserError, match=r"a\.srt is no subtitle file"):
        decode_subtitles("a.srt", content)


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(content: bytes) -> None:
    try:
        text, encoding, _ = decode_subtitles("a.srt", content)
    except UserError:
        return
    assert "\x00" not in text
    assert codecs.lookup(encoding)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn"))))
def test_utf8_is_read_as_it_is(text: str) -> None:
    if not text.startswith("\ufeff"):
        assert decode_subtitles("a.srt", text.encode())[0] == text.replace("\ufffd", "")
