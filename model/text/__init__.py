"""Printed text to phones: what a narrator would say for it, word by word."""

from model.text.english import speak_english
from model.text.marks import corpus_phones, with_end
from model.text.symbols import SYMBOLS, phone_ids
from model.text.words import Spoken, Word

__all__ = [
    "FRONTEND_VERSION",
    "LANGUAGES",
    "SYMBOLS",
    "Spoken",
    "Word",
    "corpus_phones",
    "phone_ids",
    "speak_text",
    "with_end",
]

# Part of every take's key: raise it whenever phones change for any text.
FRONTEND_VERSION = "en-1"
LANGUAGES = ("en",)


def speak_text(text: str, language: str = "en") -> Spoken:
    """What is said for a printed text and its phones (symbols of the v2 inventory).

    `language` is a BCP 47 tag whose first part counts; only English is there yet, so any other
    raises ValueError. Never fails on the text: what has no reading is a word with nothing spoken.
    """
    if language.split("-")[0].lower() not in LANGUAGES:
        raise ValueError(f"no text front-end for language {language!r}: only English is there")
    return speak_english(text)
