"""Text in any language or a mix: cut into stretches of one language, each read by its front-end."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from model.text.conventions import for_checkpoints
from model.text.segmentation import MODES, segments
from model.text.words import Spoken, Word

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


def speak_text(text: str, language: str = "en", version: str = "") -> Spoken:
    """What is said for a printed text and its phones.

    `version` is "v1" or "v2" (v2 and later) for the inventory, readings and conventions of official
    checkpoints, "" for our own voice, whose inventory is v2's.

    `language` is a code of `LANGUAGES` or a BCP 47 tag whose first part is one: "en" reads
    everything as English; "zh", "yue", "ja", "ko" read English words in the text as English;
    "auto" tells the language of each stretch by itself. Raises ValueError for another language,
    UserError where the language's optional packages are missing. Never fails on the text: what
    has no reading is a word with nothing spoken.
    """
    mode = language_code(language)
    readers = _V1_READERS if version == "v1" else _READERS
    words: list[Word] = []
    for segment in segments(text, mode):
        read = _reader(*readers[segment.language])
        words += [
            replace(word, start=word.start + segment.start, end=word.end + segment.start)
            for word in read(text[segment.start : segment.end])
        ]
    return Spoken(text, for_checkpoints(words) if version else tuple(words))


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
