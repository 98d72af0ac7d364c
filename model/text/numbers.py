"""Numbers as a narrator reads them: cardinals, ordinals, years, digits, money, times, Roman."""

import re
import unicodedata
from functools import cache

# English cardinals without "and", as the official front-end and the training speech have them.
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LONGEST = 15  # digits; beyond that a number is a string of digits to anyone

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

# sign -> singular and plural of the unit and of its hundredth
CURRENCIES = {
    "$": (("dollar", "dollars"), ("cent", "cents")),
    "£": (("pound", "pounds"), ("penny", "pence")),
    "€": (("euro", "euros"), ("cent", "cents")),
    "¥": (("yen", "yen"), None),
    "₹": (("rupee", "rupees"), ("paisa", "paise")),
}

FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5),
    "⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8),
    "⅝": (5, 8), "⅞": (7, 8), "⅑": (1, 9), "⅒": (1, 10),
}  # fmt: skip

_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@cache
def _words(number: int, to: str) -> str:
    from num2words import num2words  # its import takes 0.2 s

    return str(num2words(number, lang="en", to=to)).replace(" and ", " ")


def cardinal(number: int | str) -> str:
    """ "1250" -> "one thousand, two hundred fifty"; leading zeros and very long are digits."""
    text = str(number).replace(",", "")
    if len(text) > _LONGEST or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    return _words(int(text), "cardinal")


def ordinal(number: int | str) -> str:
    """ "21" -> "twenty-first"."""
    text = str(number).replace(",", "")
    return _words(int(text), "ordinal") if len(text) <= _LONGEST else digits(text)


def digits(text: str) -> str:
    """ "007" -> "zero zero seven"; anything but 0-9 is passed over."""
    return " ".join(_DIGITS[int(digit)] for digit in text if digit in "0123456789")


def year(text: str) -> str:
    """ "1984" -> "nineteen eighty-four", "1905" -> "nineteen oh five", "2005" -> cardinal."""
    number = int(text)
    high, low = divmod(number, 100)
    if not 1000 < number < 10000 or number % 1000 < 10:
        return cardinal(number)
    if low == 0:
        return f"{cardinal(high)} hundred"
    return f"{cardinal(high)} {'oh ' if low < 10 else ''}{cardinal(low)}"


def decade(text: str) -> str:
    """ "1990" -> "nineteen nineties", "70" -> "seventies", "1900" -> "nineteen hundreds"."""
    spoken = year(text) if len(text) == 4 else cardinal(text)
    return f"{spoken[:-1]}ies" if spoken.endswith("y") else f"{spoken}s"


def decimal(text: str) -> str:
    """ "3.14" -> "three point one four", ".5" -> "zero point five", "1,000" -> cardinal."""
    whole, point, fraction = text.partition(".")
    spoken = cardinal(whole or "0")
    return f"{spoken} point {digits(fraction)}" if point and fraction else spoken


def fraction(numerator: int, denominator: int) -> str:
    """3, 4 -> "three fourths"; 1, 2 -> "one half"; 7, 16 -> "seven sixteenths"."""
    if denominator == 2:
        part = "half" if numerator == 1 else "halves"
    elif denominator == 4:
        part = "quarter" if numerator == 1 else "quarters"
    else:
        part = ordinal(denominator) + ("" if numerator == 1 else "s")
    return f"{cardinal(numerator)} {part}"


def money(sign: str, amount: str, magnitude: str = "") -> str:
    """ "$", "3.50" -> "three dollars and fifty cents"; "£", "1.5", "million" -> "... pounds"."""
    (one, many), small = CURRENCIES[sign]
    if magnitude:
        return f"{decimal(amount)} {magnitude} {many}"
    whole, point, rest = amount.replace(",", "").partition(".")
    if not point or small is None or len(rest) > 2:
        return f"{decimal(amount)} {one if amount == '1' else many}"
    hundredths = int(rest.ljust(2, "0"))
    units = int(whole or "0")
    said = []
    if units or not hundredths:
        said.append(f"{cardinal(units)} {one if units == 1 else many}")
    if hundredths:
        said.append(f"{cardinal(hundredths)} {small[hundredths != 1]}")
    return " and ".join(said)


def time_of_day(hour: str, minute: str, exact: bool = True) -> str:
    """ "6", "30" -> "six thirty"; "7", "00" -> "seven o'clock", or "seven" if not `exact`."""
    if int(minute) == 0 and not exact:
        return cardinal(int(hour))
    if int(minute) == 0:
        hundred = not 0 < int(hour) < 13
        return cardinal(int(hour)) + (" hundred" if hundred else " o'clock")
    oh = "oh " if int(minute) < 10 else ""
    return f"{cardinal(int(hour))} {oh}{cardinal(int(minute))}"


def date(year_text: str, month: int, day: int) -> str:
    """ "1999", 12, 31 -> "December thirty-first, nineteen ninety-nine"."""
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(year_text)}"


def roman(numeral: str) -> int | None:
    """Value of a well-formed Roman numeral in capitals, else None."""
    if not numeral or not _ROMAN.fullmatch(numeral):
        return None
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    following = [*values[1:], 0]
    return sum(-v if v < after else v for v, after in zip(values, following, strict=True))


def greek(letter: str) -> str:
    """Name of a Greek letter ("α" -> "alpha"), "" for anything else."""
    name = unicodedata.name(letter, "") if len(letter) == 1 else ""
    found = re.fullmatch(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)", name)
    return found.group(1).lower() if found else ""
