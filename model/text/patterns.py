"""The shapes that the normaliser knows: regular expressions for numbers, words and marks."""

import re

from model.text.numbers import CURRENCIES, FRACTIONS

# one character for one, so that positions in the cleaned text are those in the printed text
_PLAIN: dict[int, int | str] = {
    **dict.fromkeys(map(ord, "‘’‛ʼʹ′`´"), "'"),
    **dict.fromkeys(map(ord, "“”„‟«»″＂"), '"'),
    **dict.fromkeys(map(ord, "‐‑⁃﹣"), "-"),
    **dict.fromkeys([0xA0, *range(0x2002, 0x200B), 0x202F], " "),
    0xFFE1: "£",
    0xFFE5: "¥",
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
}
_LETTER = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿﬀ-ﬆ"
_INNER = f"[{_LETTER}\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufeff]"
_ALNUM = f"(?:{_INNER}|[0-9])"
_MONTH = (
    r"(?P<month>January|February|March|April|May|June|July|August|September|October|November|"
    r"December|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
_AMOUNT = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_FRACTION = f"[{''.join(FRACTIONS)}]"
CURRENCY = frozenset(CURRENCIES)
_SIGN = f"[{re.escape(''.join(CURRENCIES))}]"
_NO_DIGIT = r"(?![0-9]|[.,:/][0-9])"

# unit -> (one, many); after a number, with or without a space
UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "lb.": ("pound", "pounds"),
    "lbs.": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "oz.": ("ounce", "ounces"),
    "ft": ("foot", "feet"),
    "ft.": ("foot", "feet"),
    "in.": ("inch", "inches"),
    "yd": ("yard", "yards"),
    "yds": ("yard", "yards"),
    "yds.": ("yard", "yards"),
    "mi": ("mile", "miles"),
    "mph": ("mile per hour", "miles per hour"),
    "km²": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "cwt": ("hundredweight", "hundredweight"),
    "cwt.": ("hundredweight", "hundredweight"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "°N": ("degree north", "degrees north"),
    "°S": ("degree south", "degrees south"),
    "°E": ("degree east", "degrees east"),
    "°W": ("degree west", "degrees west"),
    "d.": ("penny", "pence"),
    "hrs": ("hour", "hours"),
    "hrs.": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "min.": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "sec.": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "s": ("second", "seconds"),
    "h": ("hour", "hours"),
    "ms": ("millisecond", "milliseconds"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "kW": ("kilowatt", "kilowatts"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "kB": ("kilobyte", "kilobytes"),
    "ml": ("milliliter", "milliliters"),
    "L": ("liter", "liters"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "元": ("yuan", "yuan"),
}
_UNIT_NAMES = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_UNIT = rf"(?P<unit>\s?(?:{_UNIT_NAMES})(?![A-Za-z0-9/]))?"


def _compile(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


EMAIL = _compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
ADDRESS = _compile(
    r"(?:(?:https?|ftp)://[^\s\"'<>]+|www\.[^\s\"'<>]+"
    r"|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?:com|org|net|edu|gov|io|co\.uk)\b(?:/[^\s\"'<>]*)?)"
    r"(?<![.,;:!?)])",
    re.IGNORECASE,
)
DOTTED = _compile(r"(?:Ph\.\s?D\.|(?:[A-Za-z]\.){2,}(?![A-Za-z])|[A-Za-z]\.[A-Za-z](?![A-Za-z.']))")
MONTH_DAY = _compile(
    _MONTH + r"\s(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?(?![0-9]|[.:/-][0-9]|[A-Za-z])"
)
DAY_MONTH = _compile(r"(?P<day>[0-9]{1,2})\s" + _MONTH + r"(?![A-Za-z])")
DATE_ISO = _compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9-])")
DATE_SLASHED = _compile(r"([0-9]{1,2})[/.]([0-9]{1,2})[/.]([12][0-9]{3})(?![0-9])")
TIME = _compile(
    r"(?P<hour>[0-9]{1,2})(?:[:.](?P<minute>[0-5][0-9]))?(?![0-9:])"
    r"(?:\s?(?P<half>[aApP]\.\s?[mM]\b\.?|[aApP][mM]\b))"
    r"|(?P<hour2>[0-9]{1,2}):(?P<minute2>[0-5][0-9])(?![0-9:]|[-–][0-9]{1,2}(?![0-9:]))"
)
REFERENCE = _compile(r"([0-9]{1,3}):([0-9]{1,3})(?:[-–]([0-9]{1,3}))?(?![0-9:])")
FEET_INCHES = _compile(r"([0-9]{1,2})'\s?([0-9]{1,2})(?:\"|'')")
PHONE_NUMBER = _compile(
    r"(?:[0-9]-)?[0-9]{3}-[0-9]{3}-[0-9]{4}(?![0-9-])|[0-9]{3}-[0-9]{4}(?![0-9-])"
    r"|[0-9]{3,4}-[0-9]{6,8}(?![0-9-])"
)
MONEY = _compile(
    rf"(?P<minus>[-−])?(?P<sign>{_SIGN})\s?(?P<amount>{_AMOUNT})"
    r"(?:\s?(?P<magnitude>hundred|thousand|million|billion|trillion)\b|(?P<short>m|bn|k)\b)?",
    re.IGNORECASE,
)
MONEY_AFTER = _compile(
    rf"(?P<minus>[-−])?(?P<amount>{_AMOUNT})\s?(?P<sign>{_SIGN})(?P<magnitude>\b\B)?(?P<short>\b\B)?"
)
OLD_MONEY = _compile(
    r"(?:£\s?(?P<pounds>[0-9]+)\s|(?=[0-9]+s\.? [0-9]+d\b))"
    r"(?P<shillings>[0-9]{1,2})s\.?(?:\s(?P<pence>[0-9]{1,2})d\.?)?"
    r"(?![A-Za-z0-9])"
)
ORDINAL = _compile(
    r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:st|nd|rd|th|(?<=[23])d)(?P<ly>ly)?\b", re.IGNORECASE
)
DECADE = _compile(r"'?((?:[0-9]{2})?[0-9]0)'?s\b")
MIXED_FRACTION = _compile(rf"([0-9]+)?\s?({_FRACTION}){_UNIT}")
SLASH_FRACTION = _compile(r"(?:([0-9]+)[\s-])?([0-9]{1,2})[/⁄]([0-9]{1,3})(?![0-9/]|\.[0-9])")
RANGE = _compile(rf"({_AMOUNT})[-–—]({_AMOUNT})(?![0-9]|[-–][0-9]){_UNIT}")
NUMBER = _compile(
    rf"(?P<minus>[-−])?(?P<amount>{_AMOUNT})(?:\s?(?P<percent>[%‰]|°(?![CFNSEW]))|{_UNIT})"
)

ELIDED = _compile(
    r"'(?:tis|twas|twere|twill|twould|tain't|em|til|till|n'|gainst|neath|pon|mid|mongst|cos|bout|"
    r"cause|round|fore)(?![A-Za-z])",
    re.IGNORECASE,
)
# letters, digits, inner apostrophes and hyphens; a final apostrophe where it stands for "g"
WORD = _compile(
    rf"[{_LETTER}0-9]{_ALNUM}*(?:'{_ALNUM}+|-{_ALNUM}+|-'{_ALNUM}+'?(?=-))*(?:(?<=[Ii][Nn])')?"
)
# the numbers of notes, and the plural in "friend(s)"
NOTE = _compile(r"\[[0-9]{1,3}\]|(?<=[a-z])\((?:s|es)\)")
LIST_NUMBER = _compile(r"(?<![^\s])([0-9]{1,2})\.(?=\s+[\"'(]*[A-Z])")
VERSION = _compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){2,}(?![0-9A-Za-z])")
INITIAL = _compile(r"[A-Z]\.(?=\s+[\"'(]*[A-Z])")
FOREIGN = _compile(rf"(?:(?!{_ALNUM})[^\W_])+")
MARKS = _compile(r"(?:\.(?: ?\.)+|[,.;:!?…⋯—–―⸺⸻‒、。｡！？¡¿‽؟]|-{2,}|(?<=\s)-(?=\s))+|[(){}\[\]]")


def clean(text: str) -> str:
    """`text` with typographic quotes, hyphens and spaces made plain, of the same length."""
    return text.translate(_PLAIN)
