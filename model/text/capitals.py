"""Words as printed to words as said: hyphens, capitals, letters, Roman numerals, digits."""

import re

from model.text import numbers
from model.text.lexicon import Phones, dictionary, fold, known, spelled

Pieces = tuple[str, ...]

# what a Roman numeral is read after, as a cardinal ("Chapter IV" is "chapter four")
_NUMBERED_LIST = (
    "chapter chap chap. book part volume vol vol. act scene canto letter section sect "
    "appendix stave no. number plate figure fig fig. psalm article war type phase class mark "
    "corps table verse page p. pp. preface introduction lesson lecture chapters parts books "
    "volumes epilogue fit fytte stanza step stage round"
)
_NUMBERED = frozenset(_NUMBERED_LIST.split())
# read as words although capitals throughout
WORDS_IN_CAPITALS = frozenset({"NASA", "NATO", "AIDS", "UNESCO", "UNICEF", "OPEC", "FIFA", "COVID"})
# acronyms that are also words, which capitals may only stress
_NAMES_LIKE_WORDS = frozenset({"WHO", "US", "IT"})
_SHORT_WORDS_LIST = (
    "a i o ah am an as at be by do eh go ha he hi ho if in is it lo me my no of oh on or ox "
    "so to up we ye act add age ago all and any are arm art ask ate bad bar bed big bit box "
    "boy but buy can car cat cup cut dad day did die dog due ear eat egg end eye far few fit "
    "fly for fun get god got gun guy had has hat her hey him his hit hot how ice ill its job "
    "joy key law lay led leg let lie lot low mad man map may men met mix mom new nor not now "
    "odd off oil old one our out own pay put ran red rid run sad sat saw say sea see set she "
    "sin sir sit six sky son sun ten the tie too top try two use war was way who why win won "
    "yes yet you"
)
_SHORT_WORDS = frozenset(_SHORT_WORDS_LIST.split())
_PREFIXES = frozenset({"re", "co", "de", "pre"})
_ONCE_HYPHENED = frozenset({"today", "tonight", "tomorrow", "goodbye"})
_SIGHT = 80  # characters around a word that decide its reading
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[A-Z]")
_LETTER_CUES = frozenset({"letter", "plan", "vitamin", "grade", "group", "type", "an", "section"})


def read_hyphenated(printed: str, text: str, start: int, previous: str, shouted: bool) -> Pieces:
    """Words said for a printed word, which may be hyphenated and hold digits.

    `text` is the whole text, `start` the word's place in it, `previous` the word printed before it.
    """
    after = text[start + len(printed) : start + len(printed) + _SIGHT]
    if len(printed) > 1 and "-" not in printed:
        numeral = _roman(printed, text, start, after, previous, shouted)
        if numeral:
            return numeral
    if printed in _NAMES_LIKE_WORDS and _names(text[max(0, start - _SIGHT) : start], after):
        return tuple(f"{letter}." for letter in printed.lower())
    parts = [part for part in printed.split("-") if part]
    if len(parts) > 1 and not printed.isupper() and dictionary(fold(printed)):
        return (printed,)
    if len(parts) == 1 and len(printed) == 1:
        return _single(printed, text, start, after, previous)
    if len(parts) == 2 and _is_one_word(parts):
        return ("".join(parts),)
    near_capitals = shouted or _beside_capitals(text, start, after)
    said: list[str] = []
    for part in parts:
        said.extend(_part(part, near_capitals))
    return tuple(said)


def _names(before: str, after: str) -> bool:
    """Whether a word in capitals is the name of an organisation: "the WHO", "WHO and UNICEF"."""
    return (
        re.search(r"(?i:\b(?:the|an?))\s+$|[A-Z]{2}\s+(?:and|or)\s+$", before) is not None
        or re.match(r"\s+(?:and|or)\s+(?:the\s+)?[A-Z]{2}", after) is not None
    )


def _is_one_word(parts: list[str]) -> bool:
    """Whether a hyphen only shows how the word is made: "re-enter", "to-day"."""
    joined = "".join(parts)
    if not joined.isalpha() or parts[1].isupper():
        return False
    return parts[0].lower() in _PREFIXES or joined.lower() in _ONCE_HYPHENED


def _single(letter: str, text: str, start: int, after: str, previous: str) -> Pieces:
    """A letter by itself: an article, "I", a Roman numeral, or the letter's name."""
    if letter in "aA":
        cue = letter == "A" and previous.lower() in _LETTER_CUES
        alone = letter == "A" and re.match(r"(?!\.\.)[.,;:!?/\"]|$|\s[B-Z]\b", after)
        return ("a.",) if cue or alone else (letter,)
    if letter.isdigit():
        return (numbers.cardinal(letter),)
    if letter in "IVX":
        heading = start == len(text) - len(text.lstrip()) and re.match(r"\.?\s*$|\.\s+[A-Z]", after)
        if heading or (previous[:1].isupper() and previous.lower() in _NUMBERED):
            return (numbers.cardinal(numbers.roman(letter) or 0),)
    if letter in "IiOo":
        return (letter,)
    return (f"{fold(letter)}.",)


def _beside_capitals(text: str, start: int, after: str) -> bool:
    """Whether the word before or after is in capitals too, as at the opening of a chapter."""
    capitals = r"(?:[A-Z][A-Z']+|[AIO])"
    return bool(
        re.match(rf"[,]?\s+{capitals}(?![a-z'.])", after)
        or re.search(rf"(?<![a-z.]){capitals}[,]?\s+$", text[max(0, start - _SIGHT) : start])
    )


def _roman(
    printed: str, text: str, start: int, after: str, previous: str, shouted: bool
) -> Pieces | None:
    numeral = printed.removesuffix("'s").removesuffix("th")
    cue = previous.lower() in _NUMBERED
    value = numbers.roman(numeral.upper() if cue and not numeral.isupper() else numeral)
    if value is None or (numeral.islower() and (numeral == "mix" or not cue)):
        return None
    long = len(numeral) > 3 and known(numeral.lower()) is None
    if not cue and not long and not re.fullmatch("[IVX]+|[XL]+[IVX]*", numeral):
        return None
    alone = not text[:start].strip(" \"'([") and re.match(r"[.):]?\s*(?:$|[—–A-Z\"'(])", after)
    words = roman_words(value, previous, counts=bool(alone or shouted))
    said = tuple(words.replace("-", " ").replace(",", "").split())
    return (*said[:-1], said[-1] + "'s") if printed.endswith("'s") else said


def roman_words(value: int, previous: str, counts: bool) -> str:
    """How the value of a Roman numeral is said after a word: "Henry VIII" is "the eighth", after
    "Chapter" and where it `counts` something it is "eight"."""
    name = previous[:1].isupper() and previous.lower() not in {"the", "world", *_NUMBERED}
    if value < 40 and name and not counts:
        return f"the {numbers.ordinal(value)}"
    return numbers.year(str(value)) if 1100 < value < 2100 else numbers.cardinal(value)


def _part(part: str, near_capitals: bool) -> Pieces:
    if part.isascii() and part.isdigit():
        number = numbers.year(part) if len(part) == 4 else numbers.cardinal(part)
        return tuple(number.replace(",", "").replace("-", " ").split())
    bare = fold(part)
    stem, s, _ = part.partition("'s")
    if stem.isupper() and len(stem) > 1 and stem.isalpha():
        said = _capitals(stem, near_capitals)
        return (*said[:-1], f"{said[-1]}'s") if s and said else said
    if decade := re.fullmatch("((?:[0-9]{2})?[0-9]0)s", part):
        return tuple(numbers.decade(decade.group(1)).replace("-", " ").split())
    if re.fullmatch("[A-Z]{2,}s", part):
        return (*(f"{letter}." for letter in fold(part[:-2])), f"{fold(part[-2])}.'s")
    if any(character.isdigit() for character in part):
        return _letters_and_digits(part)
    if part[1:] != part[1:].lower() and (len(part) < 4 or known(bare) is None):
        return _camel(part)
    return (part.strip("'") if not part.lower().endswith("in'") else part,) if bare else ()


def _capitals(word: str, near_capitals: bool) -> Pieces:
    """A word in capitals: read if it is emphasis, a heading or a known acronym, else spelled."""
    lower = fold(word)
    if word in WORDS_IN_CAPITALS:
        return (word,)
    if near_capitals and (len(word) > 3 or dictionary(lower)):
        return (word,)
    if len(word) <= 3:
        readable = lower in _SHORT_WORDS
    else:
        vowels = re.search("[AEIOUY]", word) is not None
        listed = known(lower)
        readable = not _same_sounds(listed, spelled(lower)) if listed else len(word) > 5 and vowels
    return (word,) if readable else tuple(f"{letter}." for letter in lower)


def _same_sounds(one: Phones, other: Phones) -> bool:
    """Whether two readings differ in stress at most, as HTML in a dictionary and spelled do."""
    return [phone.rstrip("012") for phone in one] == [phone.rstrip("012") for phone in other]


def _letters_and_digits(part: str) -> Pieces:
    """B2B, MP3, 221B, 1990s: runs of letters and of digits, capitals spelled."""
    said: list[str] = []
    for run in re.findall(r"[0-9]+|[^0-9']+|'[^0-9]*", part):
        if run[0].isdigit():
            said.extend(numbers.cardinal(run).replace(",", "").replace("-", " ").split())
        elif run.isupper() or len(run) == 1:
            said.extend(f"{letter}." for letter in fold(run))
        elif run.strip("'"):
            said.append(run.strip("'"))
    return tuple(said)


def _camel(part: str) -> Pieces:
    """ChatGPT, iPhone, mRNA: capitals spelled, the rest read; McDonald and O'Brien stay whole."""
    if re.match(r"(?:Mc|Mac|De|Du|Van|Von|Le|La|Di|Fitz)[A-Z]|[A-Z]'", part) or "'" in part:
        return (part,)
    said: list[str] = []
    runs = _CAMEL.findall(part)
    for run in runs:
        if len(run) == 1 or (run.isupper() and known(fold(run)) is None):
            said.extend(f"{letter}." for letter in fold(run))
        elif run.isupper():
            said.extend(_capitals(run, near_capitals=False))
        else:
            said.append(run)
    return tuple(said) if "".join(runs) == part else (part,)
