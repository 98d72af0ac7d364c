"""Printed text to what a narrator says: numbers, abbreviations, symbols, capitals, token by token.

The text is read from left to right; at each place the first rule that applies takes a span of it
and says what is spoken there. Spans never overlap and together hold every character that is not
white space, so that nothing printed is lost from the record.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model.text import abbreviations, numbers
from model.text.capitals import read_hyphenated
from model.text.lexicon import dictionary
from model.text.marks import pause_mark
from model.text.patterns import (
    ADDRESS,
    CURRENCY,
    DATE_ISO,
    DATE_SLASHED,
    DAY_MONTH,
    DECADE,
    DOTTED,
    ELIDED,
    EMAIL,
    FEET_INCHES,
    FOREIGN,
    INITIAL,
    LIST_NUMBER,
    MARKS,
    MIXED_FRACTION,
    MONEY,
    MONEY_AFTER,
    MONTH_DAY,
    NOTE,
    NUMBER,
    OLD_MONEY,
    ORDINAL,
    PHONE_NUMBER,
    RANGE,
    REFERENCE,
    SLASH_FRACTION,
    TIME,
    UNITS,
    VERSION,
    WORD,
    clean,
)

Pieces = tuple[str, ...]


@dataclass(frozen=True)
class Token:
    """A span of the text: the words said for it ("a." names a letter, "," is a pause) or a mark."""

    start: int
    end: int
    said: Pieces = ()
    mark: str = ""


_SIGHT = 80


@dataclass(frozen=True)
class Place:
    """Where the reading is: the cleaned text, the position, and the words printed before it."""

    text: str
    at: int
    previous: str  # the last word's printed form, "" at the start or after a sentence's end
    shouted: bool  # the text is printed in capitals throughout

    @property
    def left(self) -> str:
        """The character in front, "" at the start."""
        return self.text[self.at - 1] if self.at else ""

    def before(self, end: int) -> str:
        """As much of the text in front of `end` as a rule needs to see."""
        return self.text[max(0, end - _SIGHT) : end]

    def after(self, start: int) -> str:
        """As much of the text from `start` on as a rule needs to see."""
        return self.text[start : start + _SIGHT]


Found = tuple[int, Pieces]  # where the token ends and what is said


def _say(*parts: str) -> Pieces:
    """Spoken words of phrases; hyphens part what is no word of its own, commas stay as pauses."""
    said: list[str] = []
    for piece in re.findall(r",|[^\s,]+", " ".join(part for part in parts if part)):
        said.extend([piece] if dictionary(piece) else piece.split("-"))
    return tuple(piece for piece in said if piece)


def tokens(text: str, told: Sequence[tuple[int, int]] = ()) -> Iterator[Token]:
    """All tokens of `text` in order.

    Each of the spans `told`, which are in order, is a token of its own: its reading is known.
    """
    cleaned = clean(text)
    known = deque(told)
    letters = re.findall(r"[^\W\d_]{2,}", cleaned)
    shouted = len(letters) > 1 and all(word.isupper() for word in letters)
    at, previous = 0, ""
    while at < len(cleaned):
        if known and at == known[0][0]:
            end = known.popleft()[1]
            token = Token(at, end, tuple(cleaned[at:end].split()))
        elif cleaned[at].isspace():
            at += 1
            continue
        else:
            token = _token(Place(cleaned, at, previous, shouted))
            if known and token.end > known[0][0]:
                token = _token(Place(cleaned[: known[0][0]], at, previous, shouted))
        yield token
        if token.said:
            previous = cleaned[token.start : token.end]
        elif token.mark in {".", "?", "!"}:
            previous = ""
        at = token.end


def _token(place: Place) -> Token:
    for rule in _RULES:
        if found := rule(place):
            return Token(place.at, found[0], found[1])
    if match := NOTE.match(place.text, place.at):
        return Token(place.at, match.end())
    if match := MARKS.match(place.text, place.at):
        return Token(place.at, match.end(), mark=_mark(place.text, match))
    return Token(place.at, place.at + 1)


def _mark(text: str, match: re.Match[str]) -> str:
    after = text[match.end() : match.end() + _SIGHT]
    if match.group() in _BRACKETS:  # a pause around a parenthesis, none inside "boy(s)"
        inner = after[:1] if match.group() in "([{" else text[match.start() - 1 : match.start()]
        outer = text[match.start() - 1 : match.start()] if match.group() in "([{" else after[:1]
        return "," if inner and not outer.isalnum() else ""
    if re.fullmatch(r"…|\.(?: ?\.)+", match.group()):
        final = abbreviations.ends_text(after) or abbreviations.starts_sentence(after)
        return "." if final else ","
    return pause_mark(match.group())


_BRACKETS = frozenset("()[]{}")


# --- rules: each looks at one place and returns the span's end and what is said, or None ---------


def _web(place: Place) -> Found | None:
    if match := EMAIL.match(place.text, place.at):
        return match.end(), _spell_address(match.group())
    if match := ADDRESS.match(place.text, place.at):
        return match.end(), _spell_address(re.sub(r"^\w+://", "", match.group()).rstrip("/"))
    return None


_ADDRESS_SIGNS = {
    ".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus",
    "~": "tilde",
}  # fmt: skip


def _spell_address(address: str) -> Pieces:
    said: list[str] = []
    for part in re.findall(r"[A-Za-z]+|[0-9]+|.", address):
        if part.isdecimal():
            said.extend(_say(numbers.cardinal(part) if len(part) < 3 else numbers.digits(part)))
        elif part.isalpha():
            spelled = len(part) == 1 or part.lower() in {"www", "http", "https", "html", "uk", "us"}
            said.extend([f"{letter}." for letter in part.lower()] if spelled else [part])
        else:
            said.extend(_ADDRESS_SIGNS.get(part, "").split())
    return tuple(said)


def _dotted(place: Place) -> Found | None:
    """U.S.A., a.m., i.e., J.R.R.: letters, unless the dots stand for words."""
    match = DOTTED.match(place.text, place.at)
    if not match or place.left.isalnum():
        return None
    printed = match.group()
    expansion = abbreviations.INITIALS.get(re.sub(r"\s", "", printed).lower())
    letters = [f"{letter}." for letter in re.findall("[A-Za-z]", printed.lower())]
    said = tuple(expansion.replace(". ", ".~").replace("~", " ").split()) if expansion else letters
    said = tuple(piece.lower() if piece.endswith(".") else piece for piece in said)
    return _without_final_stop(place, match.end()), said


def _without_final_stop(place: Place, end: int) -> int:
    """`end`, or one less where the stop before it is also the sentence's."""
    before, after = place.before(end - 1), place.after(end)
    return end - 1 if abbreviations.stop_ends_sentence(before, after) else end


def _abbreviation(place: Place) -> Found | None:
    match = re.compile(r"([A-Za-z]+|&c)\.").match(place.text, place.at)
    if not match or place.left.isalnum():
        return None
    after = place.after(match.end())
    word = match.group(1)
    if word in {"St", "ST"}:
        street = re.match(r"\s+[A-Z]", after) is None or _street(place, after)
        said = ("Street",) if street else ("Saint",)
        if not street or not abbreviations.ends_text(after):
            return match.end(), said
        return match.end() - 1, said
    if word == "M" and re.match(r"\s+[A-Z][a-z]{2}", after) and not place.previous[:1].isupper():
        return match.end(), ("Monsieur",)
    entry = abbreviations.find(word, after)
    if not entry:
        return None
    if word == "Dr" and _street(place, after):
        return _without_final_stop(place, match.end()), ("Drive",)
    return _without_final_stop(place, match.end()), _as_printed(word, entry.spoken)


def _as_printed(word: str, spoken: str) -> Pieces:
    return _say(spoken[0].upper() + spoken[1:] if word[0].isupper() else spoken)


def _initial(place: Place) -> Found | None:
    """The letter of a name: "J. R. R. Tolkien"; "I." at the start is a number or a sentence."""
    match = INITIAL.match(place.text, place.at)
    if not match or place.left.isalnum() or (match.group()[0] in "IVX" and not place.previous):
        return None
    before, after = place.before(match.end() - 1), place.after(match.end())
    if abbreviations.stop_ends_sentence(before, after):
        return None
    return match.end(), (f"{match.group()[0].lower()}.",)


def _street(place: Place, after: str) -> bool:
    """Whether "St." or "Dr." follows a street's name: "42 Elm St. in", "Elm St. near"."""
    named = place.previous[:1].isupper() and re.search(r"[A-Z]\w+\s+$", place.before(place.at))
    return bool(named) and re.match(r"\s+[A-Z]", after) is None


def _stopless(place: Place) -> Found | None:
    match = re.compile(r"(?:[A-Z][a-z]+|MRS?)\b(?!\.)").match(place.text, place.at)
    if not match or place.left.isalnum():
        return None
    if match.group() == "St" and re.match(r"\s+[A-Z]", place.after(match.end())):
        return match.end(), ("Saint",)
    entry = abbreviations.find_stopless(match.group(), place.after(match.end()))
    return (match.end(), _as_printed(match.group(), entry.spoken)) if entry else None


def _month_day(place: Place) -> Found | None:
    match = MONTH_DAY.match(place.text, place.at)
    if not match or place.left.isalnum() or not 1 <= int(match.group("day")) <= 31:
        return None
    return match.end(), _say(_month(match.group("month")), numbers.ordinal(match.group("day")))


def _month(printed: str) -> str:
    return next(month for month in numbers.MONTHS if month.startswith(printed[:3]))


def _number(place: Place) -> Found | None:
    """Everything that begins with a digit, a currency sign, or a sign or point before a digit."""
    if place.left.isalnum():
        return None
    for pattern, read in _NUMERIC:
        if (match := pattern.match(place.text, place.at)) and (
            (said := read(match, place)) is not None
        ):
            end = match.end()
            stop = match.group().endswith(".")  # of "p.m." or "ft.", perhaps the sentence's too
            after = place.after(end)
            if stop and (abbreviations.ends_text(after) or abbreviations.starts_sentence(after)):
                end -= 1
            return end, said
    return None


def _list_number(place: Place) -> Found | None:
    """An item's number, "1. Wash the rice. 2. Boil it.": "first," where there are several."""
    match = LIST_NUMBER.match(place.text, place.at)
    if not match or place.previous or len(LIST_NUMBER.findall(place.text)) < 2:
        return None
    return match.end(), (*_say(numbers.ordinal(match.group(1))), ",")


Numeric = Callable[[re.Match[str], Place], Pieces | None]


def _iso_date(match: re.Match[str], place: Place) -> Pieces | None:
    year, month, day = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return _say(numbers.date(year, int(month), int(day)))


def _slashed_date(match: re.Match[str], place: Place) -> Pieces | None:
    first, second, year = int(match.group(1)), int(match.group(2)), match.group(3)
    month, day = (first, second) if first <= 12 else (second, first)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return _say(numbers.date(year, month, day))


def _day_month(match: re.Match[str], place: Place) -> Pieces | None:
    """ "4 July" is read "the fourth of July"."""
    day = int(match.group("day"))
    if not 1 <= day <= 31:
        return None
    return _say("the", numbers.ordinal(day), "of", _month(match.group("month")))


def _time(match: re.Match[str], place: Place) -> Pieces | None:
    half = match.group("half")
    hour = match.group("hour") or match.group("hour2")
    minute = match.group("minute") or match.group("minute2")
    if int(hour) > 24:
        return None
    letters = tuple(f"{letter}." for letter in re.sub("[^a-z]", "", (half or "").lower()))
    return (*_say(numbers.time_of_day(hour, minute or "00", exact=not half)), *letters)


def _money(match: re.Match[str], place: Place) -> Pieces | None:
    magnitude = {"m": "million", "bn": "billion", "k": "thousand"}.get(
        match.group("short") or "", match.group("magnitude") or ""
    )
    said = numbers.money(match.group("sign"), match.group("amount"), magnitude.lower())
    return _say("minus" if match.group("minus") else "", said)


def _old_money(match: re.Match[str], place: Place) -> Pieces | None:
    names = {
        "pounds": ("pound", "pounds"),
        "shillings": ("shilling", "shillings"),
        "pence": ("penny", "pence"),
    }
    said = []
    for group, (one, many) in names.items():
        if amount := match.group(group):
            said.append(f"{numbers.cardinal(amount)} {one if amount == '1' else many}")
    return _say(*said)


def _ordinal(match: re.Match[str], place: Place) -> Pieces | None:
    return _say(numbers.ordinal(match.group(1)) + (match.group("ly") or ""))


_DECADE_CUES = frozenset(
    {"the", "in", "his", "her", "their", "my", "your", "our", "its", "mid", "early", "late"}
)


def _decade(match: re.Match[str], place: Place) -> Pieces | None:
    """The 1990s, the '70s, his 30s, 20s and 30s; "10s" elsewhere is ten seconds."""
    told = len(match.group(1)) == 4 or match.group().startswith("'")
    in_row = re.search(r"[0-9]0s(?:,| and| or| to)\s$", place.before(place.at))
    if not (told or in_row or place.previous.lower() in _DECADE_CUES):
        following = re.match(r"\s(?:and|or|to)\s'?[0-9]0s\b", place.after(match.end()))
        if not following:
            return None
    return _say(numbers.decade(match.group(1)))


def _feet_inches(match: re.Match[str], place: Place) -> Pieces | None:
    feet, inches = match.groups()
    return _say(
        numbers.cardinal(feet), "foot" if feet == "1" else "feet",
        numbers.cardinal(inches), "inch" if inches == "1" else "inches",
    )  # fmt: skip


def _mixed_fraction(match: re.Match[str], place: Place) -> Pieces | None:
    whole, sign = match.group(1), match.group(2)
    part = numbers.fraction(*numbers.FRACTIONS[sign])
    said = part if not whole else f"{numbers.cardinal(whole)} and {_a(part)}"
    return _say(said, _unit(match.group("unit"), plural=bool(whole)))


def _a(part: str) -> str:
    return part.replace("one ", "a ", 1) if part.startswith("one ") else part


def _slash_fraction(match: re.Match[str], place: Place) -> Pieces | None:
    whole, top, bottom = match.groups()
    if not (0 < int(top) < 100 and 1 < int(bottom) <= 100):
        return None
    if (top, bottom) == ("24", "7") or (top == bottom and not whole):  # 24/7, 50/50
        return _say(numbers.cardinal(top), numbers.cardinal(bottom))
    part = numbers.fraction(int(top), int(bottom))
    if whole:
        return _say(f"{numbers.cardinal(whole)} and {_a(part)}")
    return _say(part.replace("quarter", "fourth"))


def _phone_number(match: re.Match[str], place: Place) -> Pieces | None:
    groups = re.findall("[0-9]+", match.group())
    return _say(" , ".join(numbers.digits(group) for group in groups))


def _range(match: re.Match[str], place: Place) -> Pieces | None:
    low, high = match.group(1), match.group(2)
    years = low.isdigit() and high.isdigit() and len(low) == 4 and len(high) in {2, 4}
    read = numbers.year if years else numbers.decimal
    unit = _unit(match.group("unit"), plural=True)
    two_digits = len(high) == 2 and high.isdigit()
    return _say(read(low), "to", (numbers.cardinal if two_digits else read)(high), unit)


def _reference(match: re.Match[str], place: Place) -> Pieces | None:
    """3:16 after a name, 2:1: chapter and verse, ratios."""
    chapter, verse, last = match.groups()
    said = [numbers.cardinal(chapter), numbers.cardinal(verse)]
    return _say(*said, *(["to", numbers.cardinal(last)] if last else []))


def _version(match: re.Match[str], place: Place) -> Pieces | None:
    """1.0.2, 192.168.0.1: numbers with points between them."""
    return _say(" point ".join(numbers.cardinal(part) for part in match.group().split(".")))


_SMALL_WORDS = frozenset(
    {"is", "was", "as", "has", "its", "his", "this", "us", "thus", "does", "across", "always"}
)
_YEAR_CUES = frozenset(
    {"in", "since", "by", "from", "until", "till", "of", "year", "before", "after"}
)
_COUNTED = frozenset({"people", "men", "women", "children", "feet", "sheep", "fish", "cattle"})


def _plain_number(match: re.Match[str], place: Place) -> Pieces | None:
    minus, amount = match.group("minus"), match.group("amount")
    percent, printed_unit = match.group("percent"), match.group("unit")
    unit = _unit(printed_unit, plural=amount.replace(",", "") != "1")
    if percent:
        unit = {"%": "percent", "‰": "per mille", "°": "degrees"}[percent]
        unit = "degree" if unit == "degrees" and amount == "1" else unit
    if minus or unit or not re.fullmatch("[0-9]{4}", amount) or _is_count(match.end(), place):
        return _say("minus" if minus else "", numbers.decimal(amount), unit)
    return _say(numbers.year(amount))


def _is_count(end: int, place: Place) -> bool:
    """Whether a number of four digits counts what follows ("1250 books") and is no year."""
    word = re.compile(r"\s+([a-z]+)\b").match(place.text, end)
    following = word.group(1) if word else ""
    plural = following in _COUNTED or (
        following.endswith("s") and not following.endswith("ss") and following not in _SMALL_WORDS
    )
    hundreds = place.text[end - 2 : end] == "00"
    return plural and not hundreds and place.previous.lower() not in _YEAR_CUES


def _unit(printed: str | None, plural: bool) -> str:
    if not printed:
        return ""
    one, many = UNITS[printed.strip()]
    return many if plural else one


_NUMERIC: tuple[tuple[re.Pattern[str], Numeric], ...] = (
    (DATE_ISO, _iso_date),
    (DATE_SLASHED, _slashed_date),
    (OLD_MONEY, _old_money),
    (MONEY, _money),
    (MONEY_AFTER, _money),
    (DAY_MONTH, _day_month),
    (TIME, _time),
    (REFERENCE, _reference),
    (FEET_INCHES, _feet_inches),
    (PHONE_NUMBER, _phone_number),
    (DECADE, _decade),
    (ORDINAL, _ordinal),
    (MIXED_FRACTION, _mixed_fraction),
    (SLASH_FRACTION, _slash_fraction),
    (VERSION, _version),
    (RANGE, _range),
    (NUMBER, _plain_number),
)


def _word(place: Place) -> Found | None:
    if match := ELIDED.match(place.text, place.at):
        return match.end(), (match.group(),)
    match = WORD.match(place.text, place.at)
    if not match or not match.group().strip("'"):
        return None
    said = read_hyphenated(match.group(), place.text, match.start(), place.previous, place.shouted)
    return match.end(), said


_SYMBOLS = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "=": "equals",
    "×": "times",
    "÷": "divided by",
    "%": "percent",
    "§": "section",
    "¶": "paragraph",
    "©": "copyright",
    "°": "degrees",
    "№": "number",
    "±": "plus or minus",
    "≈": "approximately",
    "≠": "is not equal to",
    "≤": "at most",
    "≥": "at least",
    "∞": "infinity",
    "π": "pi",
    "µ": "micro",
    "¢": "cents",
    "℃": "degrees celsius",
    "℉": "degrees fahrenheit",
    "™": "",
    "®": "",
}
_SPACED = {"-": "minus", "−": "minus", "/": "over", "<": "is less than", ">": "is greater than"}


def _symbol(place: Place) -> Found | None:
    character = place.text[place.at]
    end = place.at + 1
    if character in "²³" and (place.left.isdigit() or len(place.previous) == 1):
        return end, ("squared" if character == "²" else "cubed",)
    if character == "#" and re.match("[0-9]", place.after(end)):
        return end, ("number",)
    if character == "~" and re.match(r"\s?[0-9$£€]", place.after(end)):
        return end, ("about",)
    if character in _SPACED and re.search(r"[0-9]\s$", place.before(place.at)):
        if re.match(r"\s[0-9]", place.after(end)):
            return end, _say(_SPACED[character])
        return None
    if character == "/" and re.search(r"[A-Za-z]{2}$", place.before(place.at)):
        alternative = re.match(r"(?!or\b)[A-Za-z]{2}", place.after(end))
        return end, ("or",) if alternative else ()
    if character in CURRENCY:
        return end, (numbers.CURRENCIES[character][0][1],)
    return (end, _say(_SYMBOLS[character])) if character in _SYMBOLS else None


def _foreign(place: Place) -> Found | None:
    """Scripts that have no reading here are one silent token; a lone Greek letter has its name."""
    match = FOREIGN.match(place.text, place.at)
    if not match:
        return None
    name = numbers.greek(match.group()) if match.end() == place.at + 1 else ""
    if name and (rest := WORD.match(place.text, match.end())):
        return rest.end(), (name[0] + rest.group(),)  # an "Ω" or "α" that stands for "o" or "a"
    return match.end(), (name,) if name else ()


_RULES: tuple[Callable[[Place], Found | None], ...] = (
    _web,
    _dotted,
    _month_day,
    _abbreviation,
    _initial,
    _stopless,
    _list_number,
    _number,
    _word,
    _symbol,
    _foreign,
)
