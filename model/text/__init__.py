"""Printed text to phones: what a narrator would say for it, word by word."""

from model.text.marks import corpus_phones, with_end
from model.text.symbols import SYMBOLS, phone_ids

__all__ = ["SYMBOLS", "corpus_phones", "phone_ids", "with_end"]
