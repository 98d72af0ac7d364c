"""Korean: the spelling turned into what is pronounced (g2pk2's rules), letter by letter.

Latin letters have their Korean names; numbers are read by g2pk2 where a counter follows, by the
rules here elsewhere. Syllables are then taken apart into the inventory's letters; "空" is a blank.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from model.text.optional import optional_module
from model.text.symbols import SYMBOLS
from model.text.words import Word

_INVENTORY = frozenset(SYMBOLS["v2"])
_NAMES = (
    "에이 비 시 디 이 에프 지 에이치 아이 제이 케이 엘 엠 엔 오 피 큐 아르 에스 티 유 브이 "
    "더블유 엑스 와이 제트"
)
_LATIN = dict(zip("abcdefghijklmnopqrstuvwxyz", _NAMES.split(), strict=True))
# Vowels that the inventories write as two.
_VOWELS = {
    "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ",
    "ㅢ": "ㅡㅣ", "ㅑ": "ㅣㅏ", "ㅒ": "ㅣㅐ", "ㅕ": "ㅣㅓ", "ㅖ": "ㅣㅔ", "ㅛ": "ㅣㅗ",
    "ㅠ": "ㅣㅜ",
}  # fmt: skip
_MARKS = {
    **dict.fromkeys("：；，·、:;—―–", ","), "。": ".", "！": "!", "？": "?", "\n": ".", " ": "空",
}  # fmt: skip
_UNKNOWN = "停"

_UNITS = {
    "km/h": "킬로미터", "km": "킬로미터", "cm": "센티미터", "mm": "밀리미터", "m": "미터",
    "kg": "킬로그램", "mg": "밀리그램", "g": "그램", "ml": "밀리리터", "l": "리터", "%": "퍼센트",
    "％": "퍼센트", "℃": "도", "°C": "도",
}  # fmt: skip
_UNIT = re.compile(
    r"([0-9][0-9,]*)(\.[0-9]+)?("
    + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
    + r")(?![A-Za-z])"
)
_CURRENCIES = {"$": "달러", "₩": "원", "￦": "원", "€": "유로", "£": "파운드", "¥": "엔"}
_MONEY = re.compile(f"([{''.join(_CURRENCIES)}])([0-9][0-9,]*)(\\.[0-9]+)?")
_TIME = re.compile(r"(?<![0-9:])([01]?[0-9]|2[0-4]):([0-5][0-9])(?![0-9:])")
_DATE = re.compile(r"(?<![0-9-])([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?![0-9/-])")
_FRACTION = re.compile(r"(?<![0-9/])([0-9]+)/([0-9]+)(?![0-9/])")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9][0-9,]*)\.([0-9]+)(?![0-9.])")
_MINUS = re.compile(r"(?<![^\s(])[-−](?=[0-9])")
_RANGE = re.compile(r"(?<![0-9-])([0-9]+)\s?[~∼〜]\s?(?=[0-9])")
# Counters that g2pk2 does not know, after native numerals as long as these are usual.
_NATIVE = re.compile(
    r"(?<![0-9,.제-])([1-9][0-9]?)(?=\s?(?:명|시간|가지|달|곳|잔|병|장|송이|사람|자루|그릇|줄|칸"
    r"|바퀴|걸음))"
)
# A number that no counter follows; in telephone numbers and behind a nought there are digits.
_NUMBER = re.compile(r"(?<![0-9,-])[1-9][0-9,]*(?![0-9,]*(?:[가-힣]+/B|-[0-9]))(?<!,)")
_DIGITS = "영일이삼사오육칠팔구"


@dataclass(frozen=True)
class _Rules:
    """The parts of g2pk2 that are used; patterns compiled, as there are more than `re` keeps."""

    idioms: tuple[tuple[re.Pattern[str], str], ...]
    special: tuple[Callable[[str], str], ...]
    table: tuple[tuple[re.Pattern[str], str], ...]
    links: tuple[Callable[[str], str], ...]
    utils: ModuleType
    numerals: ModuleType


@cache
def _rules() -> _Rules:
    """g2pk2 without its first module, which downloads data for English words."""
    optional_module("jamo", "korean")
    if "g2pk2" not in sys.modules:
        spec = importlib.util.find_spec("g2pk2")
        if spec is None:
            optional_module("g2pk2", "korean")
            raise AssertionError("unreachable: the package is missing")
        sys.modules["g2pk2"] = importlib.util.module_from_spec(spec)
    parts = {
        name: optional_module(f"g2pk2.{name}", "korean")
        for name in ("special", "regular", "utils", "numerals")
    }
    folder = Path(str(parts["utils"].__file__)).parent
    lines = (line.split("#")[0].strip() for line in (folder / "idioms.txt").open(encoding="utf-8"))
    pairs = (line.split("===") for line in lines if "===" in line)
    special = (
        "jyeo ye consonant_ui josa_ui vowel_ui jamo rieulgiyeok rieulbieub verb_nieun balb "
        "palatalize modifying_rieul"
    )
    return _Rules(
        tuple((re.compile(printed), said) for printed, said in pairs),
        tuple(getattr(parts["special"], name) for name in special.split()),
        tuple((re.compile(one), other) for one, other, _ in parts["utils"].parse_table()),
        tuple(getattr(parts["regular"], f"link{number}") for number in range(1, 5)),
        parts["utils"],
        parts["numerals"],
    )


@cache
def _tagger() -> object:
    return optional_module("mecab", "korean").MeCab()


def read_korean(text: str) -> tuple[Word, ...]:
    """What is said for `text`, by printed word; marks belong to the word that they are printed at.

    Raises UserError where the packages of the extra "korean" are missing.
    """
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    if not spans:
        return ()
    symbols = _letters(_pronounced(text))
    chunks = _by_word(symbols)
    if len(chunks) != len(spans):  # over several lines; one word for all keeps every sound
        spans, chunks = [(spans[0][0], spans[-1][1])], [symbols]
    written = _written_out(text).split()
    if len(written) != len(spans):
        written = [_written_out(text).strip()]
    return tuple(
        Word(text[start:end], start, end, _without_marks(said), tuple(chunk), "ko")
        for (start, end), said, chunk in zip(spans, written, chunks, strict=True)
    )


def _without_marks(said: str) -> str:
    return re.sub(r"^[\W_]+|[\W_]+$", "", said)


def _sino(number: str) -> str:
    """A whole number in Sino-Korean numerals; one with a nought in front digit by digit."""
    plain = number.replace(",", "")
    if len(plain) > 16 or (len(plain) > 1 and plain[0] == "0"):
        return _digits(plain)
    return str(_rules().numerals.process_num(plain, sino=True))


def _digits(number: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in number if digit in "0123456789")


def _native(number: str) -> str:
    return str(_rules().numerals.process_num(number, sino=False))


def _decimal(whole: str, fraction: str | None) -> str:
    return _sino(whole) + (f"쩜{_digits(fraction.lstrip('.'))}" if fraction else "")


def _written_out(text: str) -> str:
    """The text with signs, units and such numbers as g2pk2 does not read written in Hangul.

    No blank is added or lost, so that words stay where they are printed.
    """
    text = _DATE.sub(lambda m: f"{m[1]}년{int(m[2])}월{int(m[3])}일", text)
    text = _TIME.sub(lambda m: _clock(int(m[1]), int(m[2])), text)
    text = _MINUS.sub("마이너스", text)
    text = _MONEY.sub(lambda m: _decimal(m[2], m[3]) + _CURRENCIES[m[1]], text)
    text = _UNIT.sub(lambda m: _decimal(m[1], m[2]) + _UNITS[m[3]], text)
    text = _FRACTION.sub(lambda m: f"{_sino(m[2])}분의{_sino(m[1])}", text)
    text = _DECIMAL.sub(lambda m: _decimal(m[1], m[2]), text)
    text = _RANGE.sub(lambda m: f"{_sino(m[1])}에서", text)
    text = _NATIVE.sub(lambda m: _native(m[1]), text)
    return "".join(_LATIN.get(letter.lower(), letter) for letter in text)


def _clock(hour: int, minute: int) -> str:
    said = _native(str(hour)) if 0 < hour < 13 else _sino(str(hour))
    return f"{said}시{_sino(str(minute))}분" if minute else f"{said}시"


def _pronounced(text: str) -> str:
    """Hangul as it sounds: g2pk2's steps, with numbers that no counter follows read whole."""
    rules = _rules()
    text = _written_out(text)
    for printed, said in rules.idioms:
        text = printed.sub(said, text)
    text = rules.utils.annotate(text, _tagger())
    text = _NUMBER.sub(lambda m: _sino(m.group()) if len(m.group()) > 1 else m.group(), text)
    letters = str(optional_module("jamo", "korean").h2j(rules.numerals.convert_num(text)))
    for special in rules.special:
        letters = special(letters)
    letters = re.sub("/[PJEB]", "", letters)
    for before, after in rules.table:
        letters = before.sub(after, letters)
    for link in rules.links:
        letters = link(letters)
    return str(rules.utils.compose(letters))


def _letters(pronounced: str) -> list[str]:
    """Symbols of the inventory."""
    jamo = optional_module("jamo", "korean")
    letters = str(jamo.j2hcj(jamo.h2j(pronounced)))
    letters = "".join(_VOWELS.get(letter, letter) for letter in letters)
    letters = re.sub("([ㅇㄹ]ㅡㄹ) ㄹ", r"\1 ㄴ", letters)  # g2pk2 links "을 ㄹ" by mistake
    symbols = [_MARKS.get(letter, letter) for letter in letters]
    return [symbol if symbol in _INVENTORY else _UNKNOWN for symbol in symbols]


def _by_word(symbols: Sequence[str]) -> list[list[str]]:
    """Symbols of each printed word, with the blanks that follow it."""
    words: list[list[str]] = []
    blank = True
    for symbol in symbols:
        if symbol != "空" and blank:
            words.append([])
        blank = symbol == "空"
        if words:
            words[-1].append(symbol)
    return words
