"""Text in any language or a mix: cut into stretches of one language, each read by its front-end."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from model.text.conventions import for_checkpoints
from model.text.english import read_english
from model.text.segmentation import MODES, segments
from model.text.words import Reading, Spoken, Word

# What reads each language: a module and its function, `read(text: str) -> Sequence[Word]`, whose
# words have spans of that text. Modules are imported when first needed, since those of other
# languages than English need packages of an optional extra.
Reader = Callable[[str], Sequence[Word]]
_READERS = {
    "en": ("model.text.english", "read_english"),
    "zh": ("model.text.chinese", "read_chinese"),
    "yue": ("model.text.cantonese", "read_cantonese"),
    "ja": ("model.text.japanese", "read_japanese"),
    "ko": ("model.text.korean", "read_korean"),
}
# Models of version v1 learned other readings.
_V1_READERS = {**_READERS, "zh": ("model.text.chinese", "read_chinese_v1")}

LANGUAGES = tuple(MODES)


def speak_text(
    text: str, language: str = "en", version: str = "", readings: Sequence[Reading] = ()
) -> Spoken:
    """What is said for a printed text and its phones.

    `version` is "v1" or "v2" (v2 and later) for the inventory, readings and conventions of official
    checkpoints, "" for our own voice, whose inventory is v2's.

    `language` is a code of `LANGUAGES` or a BCP 47 tag whose first part is one: "en" reads
    everything as English; "zh", "yue", "ja", "ko" read English words in the text as English;
    "auto" tells the language of each stretch by itself. Raises ValueError for another language,
    UserError where the language's optional packages are missing. Never fails on the text: what
    has no reading is a word with nothing spoken.

    `readings` say how stretches are to be read; they are in order, and none overlaps another but
    for those of a language, which may hold others.
    """
    mode = language_code(language)
    readers = _V1_READERS if version == "v1" else _READERS
    words: list[Word] = []
    for start, end, code in _tongues(text, mode, readings):
        inside = [
            replace(reading, start=reading.start - start, end=reading.end - start)
            for reading in readings
            if not reading.language and start <= reading.start and reading.end <= end
        ]
        words += _moved(_read(text[start:end], code, inside, readers), start)
    return Spoken(text, for_checkpoints(words) if version else tuple(words))


def _tongues(text: str, mode: str, readings: Sequence[Reading]) -> Iterator[tuple[int, int, str]]:
    """Stretches of `text` with the mode that reads them, which together hold all of it."""
    at = 0
    for reading in readings:
        if reading.language:
            if at < reading.start:
                yield at, reading.start, mode
            yield reading.start, reading.end, language_code(reading.language)
            at = reading.end
    if at < len(text):
        yield at, len(text), mode


def _read(
    text: str, mode: str, readings: Sequence[Reading], readers: Mapping[str, tuple[str, str]]
) -> list[Word]:
    """The words of a text; what `readings` put in the place of printed words is one word."""
    if not readings:
        return _read_segments(text, mode, (), readers)
    written, at = "", 0
    told: list[Reading] = []
    places: list[int] = []  # in `text`, of each character that is written
    ends: list[int] = []
    for reading in readings:
        written += text[at : reading.start]
        places += range(at, reading.start)
        ends += range(at + 1, reading.start + 1)
        said = text[reading.start : reading.end] if reading.phones else reading.said
        if reading.phones:
            told.append(replace(reading, start=len(written), end=len(written) + len(said)))
            places += range(reading.start, reading.end)
            ends += range(reading.start + 1, reading.end + 1)
        else:
            places += [reading.start] * len(said)
            ends += [reading.end] * len(said)
        written, at = written + said, reading.end
    written += text[at:]
    places += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    words: list[Word] = []
    for word in _read_segments(written, mode, told, readers):
        start, end = places[word.start], ends[word.end - 1]
        if words and start < words[-1].end:
            words[-1] = _joined(text, words[-1], word, max(end, words[-1].end))
        else:
            words.append(replace(word, printed=text[start:end], start=start, end=end))
    return words


def _joined(text: str, one: Word, other: Word, end: int) -> Word:
    """Two words that are said for the same printed ones."""
    chinese = bool(one.characters and other.characters)
    return Word(
        text[one.start : end],
        one.start,
        end,
        " ".join(filter(None, (one.spoken, other.spoken))),
        one.phones + other.phones,
        one.language if one.phones else other.language,
        one.characters + other.characters if chinese else "",
        one.word2ph + other.word2ph if chinese else (),
    )


def _read_segments(
    text: str, mode: str, told: Sequence[Reading], readers: Mapping[str, tuple[str, str]]
) -> list[Word]:
    """The words of a text, of which `told` gives the phones of some stretches."""
    words: list[Word] = []
    at = 0
    for segment in segments(text, mode):
        at = max(at, segment.start)
        read = _reader(*readers[segment.language])
        inside = [reading for reading in told if at <= reading.start < segment.end]
        if segment.language == "en" and (not inside or inside[-1].end <= segment.end):
            moved = [replace(r, start=r.start - at, end=r.end - at) for r in inside]
            words += _moved(read_english(text[at : segment.end], moved), at)
            at = segment.end
            continue
        for reading in inside:
            if text[at : reading.start].strip():
                words += _moved(read(text[at : reading.start]), at)
            printed = text[reading.start : reading.end]
            words.append(Word(printed, reading.start, reading.end, reading.said, reading.phones))
            at = reading.end
        if text[at : segment.end].strip():
            words += _moved(read(text[at : segment.end]), at)
        at = max(at, segment.end)
    return words


def _moved(words: Iterable[Word], by: int) -> Iterator[Word]:
    return (replace(word, start=word.start + by, end=word.end + by) for word in words)


def language_code(language: str) -> str:
    """The code of `LANGUAGES` for a BCP 47 tag ("zh-CN" is "zh"); ValueError if there is none."""
    code = language.split("-")[0].lower()
    if code not in LANGUAGES:
        raise ValueError(
            f"no text front-end for language {language!r}: only {', '.join(LANGUAGES)}"
        )
    return code


def _reader(module: str, function: str) -> Reader:
    read: Reader = getattr(importlib.import_module(module), function)
    return read
