"""Where the reference front-end reads wrongly on purpose of nobody: constructs, with the reasons.

A rule says which of a text's words are of its construct. `excuse` then lets those words read as
they like and asks that all others agree phone for phone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.chinese_differences import CHINESE_DIFFERENCES
from model.text import abbreviations
from model.text.homographs import is_homograph, is_learned
from model.text.lexicon import dictionary
from model.text.patterns import UNITS
from model.text.words import Word

Covers = Callable[[Word, str], bool]


@dataclass(frozen=True)
class Rule:
    """A construct: `reason` says what the reference does with it and what is right instead."""

    reason: str
    covers: Covers


def _at(pattern: str) -> Covers:
    """Words that share a character with a match of `pattern` in the text."""
    compiled = re.compile(pattern)

    def covers(word: Word, text: str) -> bool:
        return any(
            match.start() < word.end and word.start < match.end()
            for match in compiled.finditer(text)
        )

    return covers


def _is(pattern: str) -> Covers:
    compiled = re.compile(pattern)
    return lambda word, text: compiled.fullmatch(word.printed) is not None


def _unlisted(word: Word, text: str) -> bool:
    """Words that are letters only and in no dictionary, without the possessive's ending."""
    plain = word.printed.lower().removesuffix("'s")
    return bool(re.fullmatch(r"[a-z][a-z'-]+", plain)) and not dictionary(plain)


def _read_by_sentence(word: Word, text: str) -> bool:
    plain = word.printed.lower()
    return is_homograph(plain) and not is_learned(plain)


def _abbreviated(word: Word, text: str) -> bool:
    """Words printed with an abbreviation's stop, which may also be the sentence's."""
    if re.fullmatch(r"(?:[A-Za-z]+\.\s?)+[A-Za-z]*", word.printed):
        return True
    if word.printed == "." and re.search(r"(?:[A-Za-z]\.)+[A-Za-z]$", text[: word.start]):
        return True
    stopped = text[word.end : word.end + 1] == "."
    return stopped and abbreviations.find(word.printed, text[word.end + 1 :]) is not None


_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine"


def _tens_unlisted(word: Word, text: str) -> bool:
    """Numbers that hold tens and ones which no dictionary has as one word."""
    return any(
        not dictionary("-".join(pair)) for pair in re.findall(f"({_TENS}) ({_ONES})", word.spoken)
    )


_MONTHS = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"  # with a day behind

_ENGLISH = (
    Rule(
        "amounts of money lose their magnitude or their sign, units and letters beside numbers "
        "are glued or spelled; all are said",
        _at(
            r"[$£]\d[\d.,]*\s(?:hundred|thousand|million|billion|trillion)|[€¥￥₹]\s?\d[\d.,]*"
            r"|\d[\d.,]*\s?[€¥￥₹元]|[½⅓⅔¼¾⅛]|\d+[½⅓⅔¼¾⅛]|\d[\d.]*(?:[A-Za-z]+(?:/[a-z])?|\s?°[A-Z])[²³]?"
            r"|\d+['\"]|[A-Za-z]+-?\d+\w*"
        ),
    ),
    Rule(
        "curly apostrophes are deleted (Don’t is read Dont); they are apostrophes",
        _at(r"\w*[‘’]\w*"),
    ),
    Rule(
        "semicolons, colons, dashes, ellipses, brackets, double quotes and full-width marks "
        "vanish, and the words beside may be glued; they are pauses between words",
        _at(r"[;:—–…\"“”«»()\[\]{}]|-{2,}|\w*[，；：。！？、]\w*"),
    ),
    Rule(
        "of a run of marks the first alone stays, and a mark behind a blank or a lost sign "
        "vanishes; the run is one pause, by what it says and what follows",
        _at(r"[.,!?]{2,}|\.(?: \.)+|(?<=[^\w\s'\")])[.,!?]+|(?<=\s)[.,!?]+"),
    ),
    Rule(
        "apostrophes and hyphens at a word's edge are the phone '-', and those of elided words "
        "('n', -not) also part them; they belong to the word",
        _at(r"(?<!\w)['-](?=\w)|(?<=\w)['-](?!\w)|\w*-'\w+'-\w*|'n'|-{2,}"),
    ),
    Rule(
        "the stop of an abbreviation is a pause and the letters before it are looked up (Dr. is "
        "Drive); the word it stands for is read",
        _abbreviated,
    ),
    Rule(
        "words in capitals are spelled and a capital inside a word parts it; acronyms that are "
        "words, stressed words, headings and names are read",
        _at(r"\w*[A-Z]['-]?[A-Z]\w*|\w*[a-z]['-]?[A-Z]\w*"),
    ),
    Rule(
        "words in no dictionary are cut into shreds, spelled or guessed; ours are derived from "
        "known parts first",
        _unlisted,
    ),
    Rule(
        "words with two readings that its list lacks are always read alike (live); the sentence "
        "decides",
        _read_by_sentence,
    ),
    Rule("thirty-two and the like are left to the guesser; they are two words", _tens_unlisted),
    Rule(
        "decades and plurals of numbers are seconds (1990s: ninety seconds)",
        _at(r"'?\d+'?s\b"),
    ),
    Rule(
        "numbers with commas are read as years or in parts; they are counts",
        _at(r"\d{1,3}(?:,\d{3})+|\b[12]\d{3}\b(?=\s+[a-z]+s\b)"),
    ),
    Rule(
        "the point before a decimal without whole part is lost; it is zero point",
        _at(r"(?<!\d)\.\d+"),
    ),
    Rule(
        "minus signs and hyphens before and between numbers glue words together; they are minus, "
        "to, or a pause in a telephone number",
        _at(r"(?:\w+\s+)?[-−]\d[\d.]*|\d[\d.,]*(?:[-–]\d[\d.,]*)+"),
    ),
    Rule(
        "days of a month are cardinals and dates in digits are fractions or chains; a date is read",
        _at(rf"{_MONTHS}\.?\s\d{{1,2}}\b|\b\d{{1,2}}\s{_MONTHS}|\d+[-/.]\d+[-/.]\d+"),
    ),
    Rule(
        "a.m. or p.m. is added to every time, to printed ones too; it is said where printed",
        _at(r"\d{1,2}(?::\d\d)?(?:\s?[aApP]\.?[mM]\b\.?|(?<=:\d\d))"),
    ),
    Rule(
        "units behind a blank are letters; they are said",
        _at(rf"\d\s(?:{'|'.join(map(re.escape, UNITS))})(?!\w)"),
    ),
    Rule("versions and chains of points lose points", _at(r"\d+(?:\.\d+){2,}")),
    Rule(
        "a number before a stop is an ordinal (Chapter 12. The); only items of a list are",
        _at(r"\d+\.(?=\s)"),
    ),
    Rule(
        "signs are dropped, and words beside them glued; they are said or part words",
        _at(r"\w*[_\\|/×÷@&#*^~+=<>•·]\w*|[&@#*^~+=<>]"),
    ),
    Rule(
        "in addresses dots and signs are dropped; they are said",
        _at(r"\S+@\S+\.\w+|(?:https?://|www\.)\S+|\b\w+\.(?:com|org|net)\S*"),
    ),
    Rule("letters of other scripts are dropped, also inside words", _at(r"[^\W\d_a-zA-Z]\w*")),
    Rule(
        "a single I, V or X is the letter; alone on a line it numbers a chapter",
        lambda word, text: text.strip(" .") in {"I", "V", "X"},
    ),
)

_JAPANESE = (
    Rule(
        "Latin words are read from a user dictionary of its own; ours come from their English "
        "sounds, initials by letter",
        _at("[A-Za-zＡ-Ｚａ-ｚ]+"),
    ),
    Rule("colons, semicolons and dashes are unknown symbols; they are pauses", _at("[:;—―–]")),
    Rule(
        "numbers with commas, points, colons, slashes, signs or hyphens are read in parts",
        _at(
            r"[-−$¥￥€£]?[0-9０-９]+(?:[-.,:/．，：／~〜～][0-9０-９]+|\s?[%％℃°])+|[$¥￥€£−-][0-9０-９]+"
        ),
    ),
)

_KOREAN = (
    Rule(
        "Sino-Korean numerals stand before counters of people, hours and things (5명: 오명); "
        "native ones are said",
        _at(r"\d{1,2}\s?(?:명|시간|가지|달|곳|잔|병|장|송이|사람|자루|그릇|줄|칸|바퀴|걸음)"),
    ),
    Rule("colons, semicolons and dashes are unknown symbols; they are pauses", _at(r"\S*[:;—―–]")),
    Rule(
        "numbers without a counter are read digit by digit, units and signs letter by letter",
        _at(
            r"\S*(?:\d+[.:/~]\d+|[$₩€£¥−]\s?\d|\d\s?(?:%|％|℃|°C|[a-zA-Z]+)|(?<![\d-])[1-9]\d+"
            r"(?![\d,]*[가-힣-]))\S*"
        ),
    ),
)

_CHINESE = tuple(Rule(one.reason, _at(one.pattern)) for one in CHINESE_DIFFERENCES)

RULES: dict[str, tuple[Rule, ...]] = {
    "en": _ENGLISH,
    "ja": _JAPANESE,
    "ko": _KOREAN,
    "zh": _CHINESE,
    "yue": _CHINESE,
}


_SILENT = "marks and blanks alone are phones of their own; without words there is nothing to say"


def excuse(
    words: Sequence[Word], text: str, expected: Sequence[str], rules: Sequence[Rule]
) -> tuple[str, ...]:
    """The reasons why `words` may read otherwise than `expected`; () if rules don't explain it.

    Words that a rule covers match any phones, the others only their own. Rules that aren't needed
    for the match are left out.
    """
    if not re.search(r"\w", text):
        return (_SILENT,)
    covering = [
        (rule, {index for index, word in enumerate(words) if rule.covers(word, text)})
        for rule in rules
    ]
    covering = [(rule, covered) for rule, covered in covering if covered]

    def explains(chosen: Sequence[tuple[Rule, set[int]]]) -> bool:
        free = set().union(*(covered for _, covered in chosen)) if chosen else set()
        return _matches(words, free, expected)

    if not explains(covering):
        return ()
    for entry in list(covering):
        without = [other for other in covering if other is not entry]
        if explains(without):
            covering = without
    return tuple(rule.reason for rule, _ in covering)


def _matches(words: Sequence[Word], free: set[int], expected: Sequence[str]) -> bool:
    """Whether `expected` is the words' phones in order, free words standing for any."""
    ends = {0}  # how many of the expected phones the words so far may take
    for index, word in enumerate(words):
        if index in free:
            ends = set(range(min(ends), len(expected) + 1))
            continue
        length = len(word.phones)
        ends = {end + length for end in ends if tuple(expected[end : end + length]) == word.phones}
        if not ends:
            return False
    return len(expected) in ends


def cut_reason(text: str, method: str) -> str:
    """Why a cut may differ from the reference's, "" if there is no reason."""
    if not text.strip():
        return "empty text raises IndexError; it has no pieces"
    if method in {"cut1", "cut2", "cut5"} and re.search(r"[0-9][.,:][0-9]", text):
        return "numbers are cut at their points and commas; they stay whole"
    return ""
