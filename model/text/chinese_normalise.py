"""Printed Chinese to the characters that are said: simplified, with numbers and signs in words.

The text is read from left to right; at each place the first rule that applies takes a span and
says characters for it, so that everything said is known by where it was printed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from model.text import chinese_numbers as numbers
from model.text.chinese_numbers import MEASURE, NOT_LIANG, TEMPERATURES, UNITS
from model.text.optional import optional_module

MARKS = frozenset("!?…,.-")  # that are phones of their own


@dataclass(frozen=True)
class Token:
    """A span of the text and the characters said for it: Chinese ones and `MARKS`.

    `phone` is the symbol of a pause that the inventory has beside marks (SP2, SP3).
    """

    start: int
    end: int
    said: str = ""
    phone: str = ""


@dataclass(frozen=True)
class Place:
    """Where the reading is, in the cleaned text."""

    text: str
    at: int

    @property
    def left(self) -> str:
        """The character in front, "" at the start."""
        return self.text[self.at - 1] if self.at else ""


Found = tuple[int, str]  # where the span ends and what is said
Rule = Callable[[re.Match[str], Place], str | None]


def tokens(text: str) -> list[Token]:
    """All of `text` but white space, in order; pauses of breaks without a mark are filled in."""
    cleaned, origins = _clean(text)
    found: list[Token] = []
    at = 0
    while at < len(cleaned):
        end, said = _read(Place(cleaned, at))
        phone = _PAUSE_SIGNS.get(cleaned[at], "") if said == "," else ""
        found.append(Token(origins[at], origins[end - 1] + 1, said, phone))
        at = end
    return _with_silent(text, list(_with_breaks(text, found)))


def _with_silent(text: str, found: list[Token]) -> list[Token]:
    """`found` with tokens for the signs that were left out of the reading."""
    covered: list[Token] = []
    at = 0
    for token in [*found, Token(len(text), len(text))]:
        for match in re.finditer(r"\S", text[at : token.start]):
            covered.append(Token(at + match.start(), at + match.end()))
        covered.append(token)
        at = token.end
    return covered[:-1]


def _clean(text: str) -> tuple[str, list[int]]:
    """Simplified characters without blanks, and where each of them was printed."""
    convert = optional_module("misaki.zh_normalization.char_convert", "chinese")
    simplified: str = convert.tranditional_to_simplified(text).translate(_FULL_WIDTH)
    simplified = re.sub("(?<=[0-9])[—–](?=[0-9])", "-", simplified)
    simplified = re.sub("(?<=[0-9])：(?=[0-9])", ":", simplified)
    kept = [
        (character, place)
        for place, character in enumerate(simplified)
        if not (character.isspace() and character != "\n") and character not in _SILENT_SIGNS
    ]
    return "".join(character for character, _ in kept), [place for _, place in kept]


_FULL_WIDTH = {
    **{full: full - 0xFEE0 for full in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B))},
    **{full: full - 0xFEE0 for full in range(0xFF41, 0xFF5B)},
    **str.maketrans("％＋－＝／＄〇¥～−＜＞", "%+-=/$零￥~-<>"),
}
_SILENT_SIGNS = frozenset("《》【】<>{}()（）#&@“”_|\\")  # as if they were not there
_PAUSE_SIGNS = {"￥": "SP2", "^": "SP3"}


def _with_breaks(text: str, found: list[Token]) -> Iterator[Token]:
    """`found` with the pauses of dashes and new lines where no mark is beside them."""
    for place, token in enumerate(found):
        if text[token.start] in _BREAKS:
            before = next((one.said for one in reversed(found[:place]) if one.said), ",")
            after = next((one.said for one in found[place + 1 :] if one.said), ",")
            pause = "" if before[-1] in MARKS or after[0] in MARKS else ","
            if place and text[found[place - 1].start] in _BREAKS:
                pause = ""
            yield Token(token.start, token.end, pause)
        else:
            yield token


_BREAKS = frozenset("\n—–―")


def _read(place: Place) -> Found:
    character = place.text[place.at]
    if character == "-" and place.left in _RANGE_ENDS:
        return place.at + 1, _hyphen(place)
    if character in "0123456789-.+$€£￥UH":
        for pattern, rule in _RULES:
            match = pattern.match(place.text, place.at)
            if match and match.end() > place.at and (said := rule(match, place)) is not None:
                return match.end(), said
    if place.text.startswith("...", place.at):
        return place.at + 3, "…"
    if character in _POWERS:
        match = re.compile(f"[{_POWERS}]+").match(place.text, place.at)
        return (match.end(), _power(match.group())) if match else (place.at + 1, "")
    return place.at + 1, _said(character, place)


def _said(character: str, place: Place) -> str:
    """What is said for one character: itself, a mark, a sign's name or nothing."""
    if "\u4e00" <= character <= "\u9fa5":
        return character
    if character == "/":
        return "每" if _PER.search(place.text[: place.at]) else ","
    if character == "-":
        return _hyphen(place)
    if character in ":;":  # of half width, perhaps in a path or an emoticon
        return "," if "\u4e00" <= place.left <= "\u9fa5" else ""
    return _SIGNS.get(character, "")


_PER = re.compile(r"[0-9一二三四五六七八九十百千万元]\D{0,4}$")
_SIGNS = {
    **dict.fromkeys("，、：；·•‧,", ","), **dict.fromkeys("。｡.", "."),
    **dict.fromkeys("！!", "!"), **dict.fromkeys("？?", "?"), **dict.fromkeys("…⋯~", "…"),
    "+": "加", "×": "乘", "÷": "除", "=": "等于", "￥": ",", "^": ",", "℃": "度",
    **dict(zip("①②③④⑤⑥⑦⑧⑨⑩", "一二三四五六七八九十", strict=True)),
    "α": "阿尔法", "β": "贝塔", "γ": "伽玛", "Γ": "伽玛", "δ": "德尔塔", "Δ": "德尔塔",
    "ε": "艾普西龙", "ζ": "捷塔", "η": "依塔", "θ": "西塔", "Θ": "西塔", "ι": "艾欧塔", "κ": "喀帕",
    "λ": "拉姆达", "Λ": "拉姆达", "μ": "缪", "ν": "拗", "ξ": "克西", "Ξ": "克西", "ο": "欧米克伦",
    "π": "派", "Π": "派",
    "ρ": "肉", "ς": "西格玛", "σ": "西格玛", "Σ": "西格玛", "τ": "套", "υ": "宇普西龙", "φ": "服艾",
    "Φ": "服艾", "χ": "器", "ψ": "普赛", "Ψ": "普赛", "ω": "欧米伽", "Ω": "欧米伽",
}  # fmt: skip
_POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def _power(printed: str) -> str:
    plain = printed.translate(str.maketrans(_POWERS, "0123456789"))
    return f"的{numbers.cardinal(plain)}次方"


def _hyphen(place: Place) -> str:
    """到 behind a time, a date or an amount; a pause between characters; else nothing."""
    after = place.text[place.at + 1 : place.at + 2]
    if place.left in _RANGE_ENDS and ("\u4e00" <= after <= "\u9fa5" or after.isdigit()):
        return "到"
    return "," if "\u4e00" <= place.left <= "\u9fa5" and "\u4e00" <= after <= "\u9fa5" else ""


_RANGE_ENDS = frozenset("年月日号点分时元度岁%一二三四五六七八九十")

# --- rules for what begins with a digit, a sign or a point ----------------------------------------

_AMOUNT = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?"
_TIME = r"([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?"
_UNIT_NAMES = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_UNIT = rf"(?:(?:mm|cm|m|km)[²³]|{_UNIT_NAMES})(?![A-Za-z0-9])"
_LARGE = "(?:[十百千]?[万亿]|[百千])?"


def _amount(printed: str, place: Place | None = None, measure: str = "") -> str:
    said = numbers.decimal(printed)
    ordinal = place is not None and place.left in {"第", "初"}
    return "两" if said == "二" and measure and not ordinal and measure not in NOT_LIANG else said


def _date(match: re.Match[str], place: Place) -> str | None:
    year, month, day, ending = match.groups()
    counted = len(year) == 2 and not month and place.left in _BEFORE_YEARS
    if place.left.isdigit() or counted:
        return None
    said = numbers.digits(year) + "年"
    said += f"{numbers.cardinal(month)}月" if month else ""
    return said + (f"{numbers.cardinal(day)}{ending}" if day else "")


_BEFORE_YEARS = frozenset("了过共有达约近满第整用花")  # 20年 behind these is a time's length


def _years(match: re.Match[str], place: Place) -> str:
    return f"{numbers.digits(match.group(1))}到{numbers.digits(match.group(2))}年"


def _signed_date(match: re.Match[str], place: Place) -> str | None:
    year, separator, month, day = match.groups()
    if place.left.isdigit() or (separator == "." and not len(month) == len(day) == 2):
        return None
    return f"{numbers.digits(year)}年{numbers.cardinal(month)}月{numbers.cardinal(day)}日"


def _times(match: re.Match[str], place: Place) -> str:
    first, last = match.groups()[:3], match.groups()[3:]
    from_half = first[1] == "30"  # both are read alike
    said = numbers.time_of_day(first[0], first[1], first[2] or "")
    return f"{said}至{numbers.time_of_day(last[0], last[1], last[2] or '', half=from_half)}"


def _time(match: re.Match[str], place: Place) -> str:
    return numbers.time_of_day(match.group(1), match.group(2), match.group(3) or "")


def _ratio(match: re.Match[str], place: Place) -> str:
    return "比".join(numbers.cardinal(part) for part in match.group().split(":"))


def _telephone(match: re.Match[str], place: Place) -> str | None:
    if place.left.isdigit():
        return None
    groups = re.findall("[0-9]+", match.group())
    return ",".join(numbers.digits(group, "幺") for group in groups)


def _expression(match: re.Match[str], place: Place) -> str | None:
    """Sums: a hyphen in them is a minus."""
    if not re.search("[+×÷=]", match.group()):
        return None
    parts = re.findall(rf"{_AMOUNT}|.", match.group())
    said = [numbers.decimal(part) if part[0].isdigit() else _OPERATORS[part] for part in parts]
    return "".join(said)


_OPERATORS = {"+": "加", "-": "减", "×": "乘", "*": "乘", "÷": "除", "=": "等于"}


def _money(match: re.Match[str], place: Place) -> str | None:
    sign, amount, large, after = match.groups()
    if place.left.isalpha() and place.left.isascii():
        return None
    said = _amount(amount, measure=large or "元") + large
    if after:  # the currency is printed behind the amount, too
        return None if sign == "￥" else said + after
    return said + numbers.CURRENCIES[sign]


def _measured(match: re.Match[str], place: Place) -> str | None:
    """Units: "-3°C", "5kg", "10~20cm", "90km/h"."""
    minus, low, high, unit, per = match.groups()
    if minus and (place.left.isdigit() or (place.left.isalpha() and place.left.isascii())):
        return None
    name = UNITS[unit.replace("²", "2").replace("³", "3")]
    if unit in TEMPERATURES:
        said = ("零下" if minus else "") + numbers.decimal(low)
    else:
        said = ("负" if minus else "") + _amount(low, place, name[0])
    said += f"到{numbers.decimal(high)}" if high else ""
    return said + name + (f"每{UNITS[per]}" if per else "")


def _range_of_measured(match: re.Match[str], place: Place) -> str | None:
    low, unit, high, unit_again = match.groups()
    if unit != unit_again:
        return None
    name = UNITS[unit.replace("²", "2").replace("³", "3")]
    return f"{numbers.decimal(low)}{name}至{numbers.decimal(high)}{name}"


def _percent(match: re.Match[str], place: Place) -> str:
    minus, low, tilde, high, sign = match.groups()
    base = "千分之" if sign == "‰" else "百分之"
    said = f"{'负' if minus and not place.left.isdigit() else ''}{base}{numbers.decimal(low)}"
    return said + (f"{'至' if tilde == '~' else '到'}{base}{numbers.decimal(high)}" if high else "")


def _power_of(match: re.Match[str], place: Place) -> str:
    return f"{numbers.decimal(match.group(1))}的{numbers.cardinal(match.group(2))}次方"


def _fraction(match: re.Match[str], place: Place) -> str:
    minus, top, bottom = match.groups()
    said = f"{numbers.cardinal(bottom)}分之{numbers.cardinal(top)}"
    return f"负{said}" if minus else said


def _version(match: re.Match[str], place: Place) -> str:
    return "点".join(numbers.digits(part) for part in match.group().split("."))


def _range(match: re.Match[str], place: Place) -> str | None:
    """ "100-200" is 一百到二百; a score such as "3-2" goes down and is 三比二."""
    low, mark, high, measure = match.groups()
    if place.left.isdigit() or place.left in {"+", "×", "÷", "="}:
        return None
    measure = measure or ""
    down = float(low.replace(",", "")) > float(high.replace(",", ""))
    between = "比" if mark == "-" and down and len(low) <= len(high) <= 2 and not measure else "到"
    return f"{_amount(low, place, measure)}{between}{_amount(high, place, measure)}{measure}"


def _counted(match: re.Match[str], place: Place) -> str:
    amount, about, measure = match.groups()
    about = {"+": "多", "": ""}.get(about or "", about)
    return _amount(amount, place, measure) + about + measure


def _negative(match: re.Match[str], place: Place) -> str | None:
    letter = place.left.isascii() and place.left.isalnum()
    return None if letter else f"负{numbers.decimal(match.group(1))}"


def _number(match: re.Match[str], place: Place) -> str:
    """Long numbers without a measure are codes and are read digit by digit."""
    printed = match.group()
    if len(printed) < 3 or place.left == "第" or not printed.isdigit():
        return numbers.decimal(printed)
    return numbers.digits(printed, "幺")


_NOT_YEARS_AGO = "(?![代级前后来间内以之多历]|时间|的历史)"
_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"([0-9]{4})年?[-~]([0-9]{4}|[0-9]{2})年", _years),
        (
            rf"([0-2][0-9]{{3}}|[0-9]{{4}}(?<!000)|[0-9]{{2}}(?=年{_NOT_YEARS_AGO}))年"
            r"(?:(1[0-2]|0?[1-9])月(?:([12][0-9]|3[01]|0?[1-9])([日号]))?)?",
            _date,
        ),
        (r"([0-9]{4})([-/.])(1[0-2]|0?[1-9])\2(3[01]|[12][0-9]|0?[1-9])(?![0-9])", _signed_date),
        (rf"{_TIME}[~-]{_TIME}(?![0-9:])", _times),
        (rf"{_TIME}(?![0-9:])", _time),
        (r"[0-9]+:[0-9]+(?![0-9:])", _ratio),
        (r"\+?86-?1[3-9][0-9]{9}(?![0-9])", _telephone),
        (r"0[0-9]{2,3}-[1-9][0-9]{6,7}(?:-[0-9]{1,4})?(?![0-9-])", _telephone),
        (r"[48]00-?[0-9]{3}-?[0-9]{4}(?![0-9])", _telephone),
        (r"[0-9]{3,4}(?:-[0-9]{3,4}){2,}(?![0-9-])", _telephone),
        (rf"-?(?:{_AMOUNT})(?:[-+×÷*=]+(?:{_AMOUNT}))+", _expression),
        (rf"(US\$|HK\$|[$€£￥])({_AMOUNT})({_LARGE})([美港欧日]?元|块|英镑)?", _money),
        (rf"({_AMOUNT})({_UNIT})[~-]({_AMOUNT})({_UNIT})", _range_of_measured),
        (
            rf"(-)?({_AMOUNT})(?:[~-]({_AMOUNT}))?({_UNIT})(?:/(km|kg|m|s|h|L)(?![A-Za-z]))?",
            _measured,
        ),
        (rf"(-)?({_AMOUNT})%?(?:([~-])({_AMOUNT}))?([%‰])", _percent),
        (r"([0-9]+(?:\.[0-9]+)?)\^([0-9]+)", _power_of),
        (r"(-)?([0-9]+)/([0-9]+)(?![0-9/])", _fraction),
        (r"[0-9]+(?:\.[0-9]+){2,}", _version),
        (rf"({_AMOUNT})([-~])({_AMOUNT})({MEASURE})?(?![0-9-])", _range),
        (rf"({_AMOUNT})([多余几+])?({MEASURE})", _counted),
        (rf"-({_AMOUNT})", _negative),
        (rf"{_AMOUNT}|\.[0-9]+", _number),
    )
)  # fmt: skip
