"""How words of a block are read: the user's lexicon, then what the book itself says of them."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from configs.errors import UserError
from model.text import LANGUAGES, Reading, speak_text
from model.text.abbreviations import stop_ends_sentence
from model.text.capitals import roman_words
from model.text.ipa import ipa_phones, x_sampa_phones
from model.text.lexicon import fold, pronounce, spelled, with_s
from model.text.numbers import cardinal, roman
from tasks.lexicon import Lexicon

if TYPE_CHECKING:
    from tasks.read_book import Block, Remark

# What a book may say of one stretch; beyond, it is damaged or means harm.
_LONGEST_PRINTED = 100
_LONGEST_SAID = 200
_MOST_PHONES = 100
_SIGHT = 60  # characters around a full stop that tell what it belongs to
_ALPHABETS = {"ipa": ipa_phones, "x-sampa": x_sampa_phones}
_SAMPLES = {"en": "a", "zh": "一", "yue": "一", "ja": "あ", "ko": "가"}


def block_readings(
    block: "Block",
    language: str,
    version: str,
    lexicon: Lexicon,
    warn: Callable[[str], None],
) -> list[Reading]:
    """Readings of stretches of the block's text, in order, for `speak_text` with that language and
    version; what can't be read as it is told is read as usual, and `warn` is given a sentence."""
    if not block.remarks:
        found = lexicon.readings(block.text, lambda at: language)
        return [_without_stop(block.text, reading) for reading in found]
    tongues = _tongues(block, language, version, warn)
    spoken = {at: r.language for r in tongues for at in range(r.start, r.end)}
    kept = lexicon.readings(block.text, lambda at: spoken.get(at, language))
    taken = {at for reading in kept for at in range(reading.start, reading.end)}
    for remark in block.remarks:
        if not taken.isdisjoint(range(remark.start, min(remark.end, len(block.text)))):
            continue
        english = _code(spoken.get(remark.start, language)) == "en"
        if reading := _told(block.text, remark, english, warn):
            kept.append(reading)
            taken.update(range(reading.start, reading.end))
    kept = [_without_stop(block.text, reading) for reading in kept]
    # A stretch of a language comes before what is in it.
    return sorted([*tongues, *kept], key=lambda reading: (reading.start, not reading.language))


def within(readings: Sequence[Reading], start: int, end: int) -> list[Reading]:
    """The readings of a part of the text, counted from where it begins."""
    first, last = (bisect_left(readings, at, key=lambda r: r.start) for at in (start, end))
    running = next((r for r in reversed(readings[:first]) if r.language), None)
    inside = []
    for reading in (*([running] if running else []), *readings[first:last]):
        if reading.language:
            reading = replace(reading, start=max(start, reading.start), end=min(end, reading.end))
        if start <= reading.start < reading.end <= end:
            inside.append(replace(reading, start=reading.start - start, end=reading.end - start))
    return inside


def masked(text: str, readings: Iterable[Reading]) -> str:
    """`text` with letters for the marks and spaces of what is read as one: it can't be cut."""
    parts, at = [], 0
    for reading in readings:
        if not reading.language:
            parts += [
                text[at : reading.start],
                re.sub(r"\W", "x", text[reading.start : reading.end]),
            ]
            at = reading.end
    return "".join((*parts, text[at:]))


def _tongues(
    block: "Block", language: str, version: str, warn: Callable[[str], None]
) -> list[Reading]:
    """The stretches of other languages that can be read; the inner of two counts."""
    told = ["" for _ in block.text]
    for remark in sorted(block.remarks, key=lambda remark: remark.start - remark.end):
        start, end = max(0, remark.start), min(len(told), remark.end)
        if remark.language and start < end:
            told[start:end] = [remark.language] * (end - start)
    tongues, at = [], 0
    for tag, stretch in groupby(told):
        start, at = at, at + len(list(stretch))
        code = _code(tag)
        if tag and code != _code(language) and code in _SAMPLES and _reads(code, version):
            printed = block.text[start:at]
            inside = start + len(printed) - len(printed.lstrip())
            if printed.strip():
                tongues.append(Reading(inside, inside + len(printed.strip()), language=tag))
    return tongues


def _code(tag: str) -> str:
    return tag.split("-")[0].lower()


@lru_cache
def _reads(code: str, version: str) -> bool:
    """Whether a model of the version speaks the language, and its front-end is installed."""
    if not version or code not in LANGUAGES or (version == "v1" and code in ("yue", "ko")):
        return False
    try:
        return bool(speak_text(_SAMPLES[code], code, version).phones)
    except UserError:
        return False


def _told(
    text: str, remark: "Remark", english: bool, warn: Callable[[str], None]
) -> Reading | None:
    """What the book says of a stretch, None where that can't be spoken."""
    start, end = remark.start, remark.end
    printed = text[start:end]
    if not 0 <= start < end <= len(text) or printed != printed.strip():
        return None
    reading = None
    if remark.phonemes and english:
        phones = _ALPHABETS.get(remark.alphabet or "ipa", lambda _: ())(
            remark.phonemes[:_LONGEST_SAID]
        )
        reading = Reading(start, end, printed, phones) if phones else None
        if not phones:
            warn(
                f"The book's phonemes “{remark.phonemes[:40]}” for “{printed[:40]}” can't be "
                "spoken; it is read as usual."
            )
    if not reading and remark.said.strip():
        reading = Reading(start, end, remark.said.strip())
    if not reading and english and remark.role == "letters":
        reading = _letters(start, printed)
    if not reading and english and remark.role == "roman":
        reading = _numeral(text, start, printed)
    if reading is None:
        return None
    too_long = max(len(printed) / _LONGEST_PRINTED, len(reading.said) / _LONGEST_SAID)
    if too_long > 1 or len(reading.phones) > _MOST_PHONES:
        warn(f"What the book says is spoken for “{printed[:40]}” is too long; it is read as usual.")
        return None
    return reading


def _without_stop(text: str, reading: Reading) -> Reading:
    """The reading of an abbreviation without a stop that also ends its sentence."""
    end = reading.end - 1
    if text[end] != "." or end == reading.start:
        return reading
    after = text[reading.end : reading.end + _SIGHT]
    ends = not after.strip() or stop_ends_sentence(text[max(0, end - _SIGHT) : end], after)
    return replace(reading, end=end) if ends else reading


def _letters(start: int, printed: str) -> Reading | None:
    """Letter by letter; what has dots or hyphens is read so anyway."""
    if not printed.isalnum():
        return None
    plural = printed.endswith("s") and printed[:-1].isupper()
    phones: tuple[str, ...] = ()
    names = []
    for letter in fold(printed[:-1] if plural else printed):
        words = cardinal(letter).split() if letter in "0123456789" else []
        phones += spelled(letter) or tuple(p for word in words for p in pronounce(word))
        names.append(words[0] if words else letter.upper())
    if not phones:
        return None
    said = " ".join(names) + ("'s" if plural else "")
    return Reading(start, start + len(printed), said, with_s(phones) if plural else phones)


def _numeral(text: str, start: int, printed: str) -> Reading | None:
    value = roman(printed.upper())
    if not value:
        return None
    before = text[max(0, start - 80) : start]
    previous = re.search(r"([^\W\d_]+\.?)\s*$", before)
    counts = not text[:start].strip(" \"'“‘([")
    said = roman_words(value, previous[1] if previous else "", counts)
    return Reading(start, start + len(printed), said.replace("-", " "))
