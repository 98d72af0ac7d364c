"""Japanese: Open JTalk's sounds with the marks of pitch that GPT-SoVITS models learned.

Between punctuation marks the text is analysed by Open JTalk. Its full-context labels give the
sounds (unvoiced vowels as plain ones) and, after the method of K. Kurihara et al. ("Prosodic
features control by symbols as input of sequence-to-sequence acoustic modeling for neural TTS",
2021): "[" where the pitch rises, "]" where it falls, "_" for a pause. The border of an accent
phrase has no symbol in the inventories; models learned it as UNK.

Latin words, signs and numbers are written in kana and characters first, as they are said.
"""

import re
from collections.abc import Callable, Iterator

from model.text.capitals import WORDS_IN_CAPITALS
from model.text.lexicon import pronounce
from model.text.optional import optional_module
from model.text.symbols import SYMBOLS, UNKNOWN
from model.text.words import Word

_INVENTORY = frozenset(SYMBOLS["v2"])
_LETTERS = "A-Za-z0-9々\u3040-\u30ff\u4e00-\u9fff０-９Ａ-Ｚａ-ｚ\uff66-\uff9d"
_DIGIT = "[0-9０-９]"
# A stretch to analyse: letters, and signs that belong to a number.
_STRETCH = re.compile(
    rf"(?:[{_LETTERS}]|(?<={_DIGIT})[.,:/．，：／](?={_DIGIT})|(?<={_DIGIT})[-－](?={_DIGIT})"
    rf"|(?<={_DIGIT})\s?[%％℃°]|(?<={_DIGIT})[~〜～](?={_DIGIT})|[$＄¥￥€£](?={_DIGIT})"
    rf"|(?<![A-Za-z0-9０-９])[-−－](?={_DIGIT}))+"
)
_MARKS = {
    **dict.fromkeys("：；，·、:;—―–", ","),
    "。": ".",
    "！": "!",
    "？": "?",
    "\n": ".",
}
_REPEATED = re.compile(r"[!?….,-]{2,}")

_WIDE_TO_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PLAIN_TO_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_UNITS = {
    "km/h": "キロメートル毎時", "km": "キロメートル", "cm": "センチメートル",
    "mm": "ミリメートル", "m": "メートル", "kg": "キログラム", "mg": "ミリグラム", "g": "グラム",
    "ml": "ミリリットル", "l": "リットル", "kw": "キロワット", "hz": "ヘルツ", "khz": "キロヘルツ",
    "mb": "メガバイト", "gb": "ギガバイト",
}  # fmt: skip
_UNIT = re.compile(
    r"(?<=[0-9])\s?(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + r")(?![A-Za-z])",
    re.IGNORECASE,
)
_CURRENCIES = {"$": "ドル", "¥": "円", "￥": "円", "€": "ユーロ", "£": "ポンド"}
_AMOUNT = r"([0-9]+(?:\.[0-9]+)?)"
_TIME_SECONDS = r"([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?"


_DIGIT_NAMES = ("ゼロ", "イチ", "ニー", "サン", "ヨン", "ゴー", "ロク", "ナナ", "ハチ", "キュー")


def _digits(number: str) -> str:
    """Digits one by one, as in telephone numbers and after the decimal point."""
    return "".join(_DIGIT_NAMES[int(digit)] for digit in number)


def _time(match: re.Match[str]) -> str:
    hour, minute, second = match.groups()
    said = f"{int(hour)}時" + (f"{int(minute)}分" if int(minute) or second else "")
    return said + (f"{int(second)}秒" if second else "")


# What is written before analysis, in this order: pattern and what stands for it.
_READINGS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))"), ""),
    (
        re.compile(r"(?<![0-9/-])([0-9]{4})[/-]([0-9]{1,2})[/-]([0-9]{1,2})(?![0-9/-])"),
        lambda m: f"{m[1]}年{int(m[2])}月{int(m[3])}日",
    ),
    (re.compile(r"(?<![0-9:])" + _TIME_SECONDS + r"(?![0-9:])"), _time),
    (
        re.compile(r"(?<![0-9-])0[0-9]{1,4}-[0-9]{1,4}-[0-9]{3,4}(?![0-9-])"),
        lambda m: "ノ".join(map(_digits, m[0].split("-"))),
    ),
    (re.compile(r"(?<![0-9/])([0-9]+)/([0-9]+)(?![0-9/])"), r"\2分の\1"),
    (re.compile(r"(?<=[0-9])[-~〜～](?=[0-9])"), "から"),
    (re.compile(r"(?<![0-9A-Za-z])[-−](?=[0-9])"), "マイナス"),
    (re.compile(r"([$¥￥€£])" + _AMOUNT), lambda m: m[2] + _CURRENCIES[m[1]]),
    (_UNIT, lambda m: _UNITS[m[1].lower()]),
    (re.compile(r"(?<=[0-9])\s?[%％]"), "パーセント"),
    (re.compile(r"(?<=[0-9])\s?[℃°]"), "度"),
    (re.compile(r"(?<=[0-9])\.([0-9]+)"), lambda m: "点" + _digits(m[1])),
)


def read_japanese(text: str) -> tuple[Word, ...]:
    """What is said for `text`: a word for each stretch between punctuation marks, and the marks.

    Raises UserError where the packages of the extra "japanese" are missing.
    """
    words = []
    for start, end, stretch in _tokens(text):
        if stretch:
            spoken = _written_out(text[start:end])
            words.append(Word(text[start:end], start, end, spoken, _analyse(spoken), "ja"))
        else:
            words.append(Word(text[start:end], start, end, "", _mark(text[start:end]), "ja"))
    return tuple(words)


def _tokens(text: str) -> Iterator[tuple[int, int, bool]]:
    """Spans of stretches to analyse (True) and of marks, white space left out."""
    at = 0
    while at < len(text):
        if match := _STRETCH.match(text, at):
            yield at, match.end(), True
            at = match.end()
            continue
        repeated = _REPEATED.match(text, at)
        end = repeated.end() if repeated else at + 1
        if not text[at].isspace() or text[at] in "\n\u3000":  # a wide blank parts phrases
            yield at, end, False
        at = end


def _mark(printed: str) -> tuple[str, ...]:
    """Of a run of plain marks the first; quotes and brackets part phrases as accent borders do."""
    mark = _MARKS.get(printed[0], printed[0])
    return (mark if mark in _INVENTORY else UNKNOWN,)


def _written_out(stretch: str) -> str:
    """The stretch with numbers, signs and Latin letters as they are said."""
    written = stretch.translate(_WIDE_TO_PLAIN)
    for pattern, said in _READINGS:
        written = pattern.sub(said, written)
    return re.sub("[A-Za-z]+", _latin, written)


def _latin(match: re.Match[str]) -> str:
    """English words in kana by their English sounds; letters and initials are to be spelled."""
    word = match.group()
    spelled = len(word) == 1 or (word.isupper() and word not in WORDS_IN_CAPITALS)
    if spelled:
        return word.upper().translate(_PLAIN_TO_WIDE)
    kana: str = optional_module("arpakana", "japanese").arpabet_to_kana(" ".join(pronounce(word)))
    return kana


def _number_after(pattern: str, label: str) -> int:
    match = re.search(pattern, label)
    return int(match.group(1)) if match else -50


def _analyse(stretch: str) -> tuple[str, ...]:
    """Sounds and pitch marks of a stretch without punctuation."""
    if not stretch.strip("ー"):  # a long vowel of nothing
        return ()
    open_jtalk = optional_module("pyopenjtalk", "japanese")
    labels: list[str] = open_jtalk.make_label(open_jtalk.run_frontend(stretch))
    phones: list[str] = []
    for label, following in zip(labels, [*labels[1:], ""], strict=True):
        sound = label.partition("-")[2].partition("+")[0]
        if sound == "sil":
            continue
        if sound == "pau":
            phones.append("_")
            continue
        phones.append(sound.lower() if sound in "AEIOU" else sound)
        # /A: distance from the accent, place from the phrase's start, from its end; /F: its length
        to_accent = _number_after(r"/A:([0-9\-]+)\+", label)
        place = _number_after(r"\+(\d+)\+", label)
        from_end = _number_after(r"\+(\d+)/", label)
        length = _number_after(r"/F:(\d+)_", label)
        next_place = _number_after(r"\+(\d+)\+", following)
        if from_end == 1 and next_place == 1 and sound in "aeiouAEIOUNcl":
            phones.append(UNKNOWN)
        elif to_accent == 0 and next_place == place + 1 and place != length:
            phones.append("]")
        elif place == 1 and next_place == 2:
            phones.append("[")
    return tuple(phone if phone in _INVENTORY else UNKNOWN for phone in phones)
