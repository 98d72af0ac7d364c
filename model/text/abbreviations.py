"""Abbreviations with a full stop: what is said, and whether the stop can end a sentence."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Abbreviation:
    """`follows` is a pattern that the text after the stop must begin with for the reading."""

    spoken: str
    follows: str = ""
    ends: bool = False  # whether its stop may also be the sentence's


_NAME = r"\s+[\"'“‘(]?[A-Z]"
_NUMBER = r"\s*[0-9]"
_NUMERAL = r"\s*(?:[0-9]|[IVXLC]+\b|[ivxlc]+\b)"

# Printed form without the stop; lower-case keys match any capitals, others only as they stand.
_TABLE: dict[str, Abbreviation] = {
    "Mr": Abbreviation("mister"),
    "Mrs": Abbreviation("missus"),
    "Ms": Abbreviation("miz"),
    "Messrs": Abbreviation("messers"),
    "Dr": Abbreviation("doctor"),
    "Prof": Abbreviation("professor"),
    "Rev": Abbreviation("reverend"),
    "Revd": Abbreviation("reverend"),
    "Hon": Abbreviation("honorable", _NAME),
    "Capt": Abbreviation("captain"),
    "Col": Abbreviation("colonel", _NAME),
    "Gen": Abbreviation("general", _NAME),
    "Lt": Abbreviation("lieutenant"),
    "Lieut": Abbreviation("lieutenant"),
    "Sgt": Abbreviation("sergeant"),
    "Sergt": Abbreviation("sergeant"),
    "Cpl": Abbreviation("corporal"),
    "Maj": Abbreviation("major", _NAME),
    "Cmdr": Abbreviation("commander"),
    "Adm": Abbreviation("admiral", _NAME),
    "Gov": Abbreviation("governor", _NAME),
    "Sen": Abbreviation("senator", _NAME),
    "Rep": Abbreviation("representative", _NAME),
    "Pres": Abbreviation("president", _NAME),
    "Supt": Abbreviation("superintendent"),
    "Insp": Abbreviation("inspector"),
    "Mme": Abbreviation("madame"),
    "Mlle": Abbreviation("mademoiselle"),
    "MM": Abbreviation("messieurs", _NAME),
    "Sta": Abbreviation("santa", _NAME),
    "Mt": Abbreviation("mount", _NAME),
    "Ft": Abbreviation("fort", _NAME),
    "Jr": Abbreviation("junior", ends=True),
    "Sr": Abbreviation("senior", ends=True),
    "Esq": Abbreviation("esquire", ends=True),
    "Bros": Abbreviation("brothers", ends=True),
    "Co": Abbreviation("company", ends=True),
    "Corp": Abbreviation("corporation", ends=True),
    "Inc": Abbreviation("incorporated", ends=True),
    "Ltd": Abbreviation("limited", ends=True),
    "Dept": Abbreviation("department"),
    "Univ": Abbreviation("university"),
    "Ave": Abbreviation("avenue", ends=True),
    "Blvd": Abbreviation("boulevard", ends=True),
    "Rd": Abbreviation("road", ends=True),
    "Sq": Abbreviation("square", ends=True),
    "vs": Abbreviation("versus"),
    "etc": Abbreviation("et cetera", ends=True),
    "&c": Abbreviation("et cetera", ends=True),
    "viz": Abbreviation("namely"),
    "cf": Abbreviation("compare"),
    "ibid": Abbreviation("ibidem", ends=True),
    "approx": Abbreviation("approximately"),
    "vol": Abbreviation("volume", _NUMERAL),
    "vols": Abbreviation("volumes", _NUMERAL),
    "chap": Abbreviation("chapter", _NUMERAL),
    "ch": Abbreviation("chapter", _NUMERAL),
    "sect": Abbreviation("section", _NUMERAL),
    "fig": Abbreviation("figure", _NUMERAL),
    "figs": Abbreviation("figures", _NUMERAL),
    "art": Abbreviation("article", _NUMERAL),
    "ver": Abbreviation("verse", _NUMERAL),
    "p": Abbreviation("page", _NUMERAL),
    "pp": Abbreviation("pages", _NUMERAL),
    "no": Abbreviation("number", _NUMBER),
    "nos": Abbreviation("numbers", _NUMBER),
    "c": Abbreviation("circa", _NUMBER),
    "ca": Abbreviation("circa", _NUMBER),
    "Jan": Abbreviation("January"),
    "Feb": Abbreviation("February"),
    "Mar": Abbreviation("March", _NUMBER),
    "Apr": Abbreviation("April", _NUMBER),
    "Jun": Abbreviation("June", _NUMBER),
    "Jul": Abbreviation("July", _NUMBER),
    "Aug": Abbreviation("August"),
    "Sept": Abbreviation("September"),
    "Sep": Abbreviation("September", _NUMBER),
    "Oct": Abbreviation("October"),
    "Nov": Abbreviation("November"),
    "Dec": Abbreviation("December"),
}
_ANY_CASE = {key: entry for key, entry in _TABLE.items() if key.islower()}
# also seen in capitals throughout, in headings
_IN_CAPITALS = {
    key.upper(): _TABLE[key]
    for key in (
        "Mr",
        "Mrs",
        "Ms",
        "Messrs",
        "Dr",
        "Prof",
        "Rev",
        "Capt",
        "Lt",
        "Sgt",
        "Mme",
        "Mlle",
    )
}
# written without a stop in Britain
_STOPLESS = {key: _TABLE[key] for key in ("Mr", "Mrs", "Ms", "Messrs", "Dr", "Mme", "Mlle", "Prof")}

# dotted letters that are not simply spelled
INITIALS = {
    "i.e.": "that is",
    "e.g.": "for example",
    "ph.d.": "P. H. D.",
    "n.b.": "nota bene",
    "q.v.": "which see",
    "s.s.": "S. S.",
}
_INITIALS = re.compile(r"(?:[A-Za-z]\.[ ]?){2,}|Ph\.\s?D\.")
_CLOSERS = r"[\"'”’)\]\u2060]*"
_AFTER_NAMES = frozenset({"Jr", "Sr", "Esq", "Co", "Inc", "Corp", "Ltd", "Bros"})
# words that are capitals only because a sentence begins
_STARTER = re.compile(
    r"\s+[\"'“‘(]*(?:The|He|She|It|They|We|I|You|But|And|Or|In|On|At|As|If|So|For|His|Her|My|Our|"
    r"Their|This|That|These|Those|There|Then|When|What|Why|How|Who|Where|A|An|No|Yes|Not)\b"
)


def find(word: str, after: str) -> Abbreviation | None:
    """The abbreviation that `word` (without its stop) is before the text `after` its stop."""
    entry = _TABLE.get(word) or _IN_CAPITALS.get(word) or _ANY_CASE.get(word.lower())
    return entry if entry and re.match(entry.follows, after) else None


def find_stopless(word: str, after: str) -> Abbreviation | None:
    """Likewise for a title printed without a stop before a name."""
    entry = _STOPLESS.get(word) or (_IN_CAPITALS.get(word) if word in {"MR", "MRS"} else None)
    return entry if entry and re.match(_NAME, after) else None


def ends_text(after: str) -> bool:
    """Whether nothing but closing quotes and brackets is left in `after`."""
    return re.fullmatch(_CLOSERS + r"\s*", after) is not None


def starts_sentence(after: str) -> bool:
    """Whether `after` goes on with a capital, as a new sentence would."""
    return re.match(_CLOSERS + r"\s+[\"'“‘(\[—]*[A-Z]", after) is not None


def stop_ends_sentence(before: str, after: str) -> bool:
    """Whether a full stop between `before` and `after` ends a sentence.

    `before` ends just in front of the stop. A stop at the end of the text always does.
    """
    if ends_text(after):
        return True
    if not re.match(_CLOSERS + r"(?:\s|—|$)", after):
        return False
    word = re.search(r"(?:[^\W\d_]|[.&'’])+$", before)
    token = word.group().lstrip("'’.") if word else ""
    if entry := find(token, after):
        if token in _AFTER_NAMES:
            return _STARTER.match(after) is not None
        return entry.ends and starts_sentence(after)
    if token in {"St", "ST"}:
        return False
    if "." in token:  # dotted initials: U.S., a.m., J.R.R.
        timed = token.lower() in {"a.m", "p.m"} and starts_sentence(after)
        return timed or _STARTER.match(after) is not None
    if re.fullmatch(r"[A-Z]", token):  # an initial, but "I." and a lone letter at an end do end
        return token == "I" and starts_sentence(after) and len(before.split()) > 1
    return True
