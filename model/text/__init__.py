"""Printed text to phones: what a narrator would say for it, word by word, language by language."""

from model.text.marks import corpus_phones, with_end
from model.text.mixed import LANGUAGES, segments, speak_text
from model.text.symbols import SYMBOLS, phone_ids
from model.text.words import Reading, Spoken, Word

__all__ = [
    "FRONTEND_VERSION",
    "LANGUAGES",
    "SYMBOLS",
    "Reading",
    "Spoken",
    "Word",
    "corpus_phones",
    "phone_ids",
    "segments",
    "speak_text",
    "with_end",
]

# Part of every take's key: raise it whenever phones change for any text.
FRONTEND_VERSION = "2"
