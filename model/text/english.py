"""English: tokens of the normaliser with their phones."""

import re
from collections.abc import Sequence

from model.text.homographs import read_homographs
from model.text.lexicon import Phones, pronounce, with_s
from model.text.marks import ENDS, fold_marks
from model.text.normalise import Token, tokens
from model.text.patterns import clean
from model.text.words import Reading, Word

# The plural and the possessive of what is told how it is read.
_ENDING = re.compile(r"(?:'s|e?s)(?![^\W_])", re.IGNORECASE)


def read_english(text: str, readings: Sequence[Reading] = ()) -> tuple[Word, ...]:
    """What is said for `text`, word by word.

    `readings` give the phones of stretches, in order; an ending "s" that follows is said with them.
    """
    told = {reading.start: reading for reading in _with_endings(text, readings)}
    found = list(tokens(text, [(reading.start, reading.end) for reading in told.values()]))
    chosen = _homographs(found)
    groups: list[Phones] = []
    for index, token in enumerate(found):
        if token.mark or token.start in told:
            groups.append((token.mark,) if token.mark else told[token.start].phones)
            continue
        phones: list[str] = []
        for place, piece in enumerate(token.said):
            if piece == ",":
                phones.append(",")
            else:
                phones.extend(chosen.get((index, place)) or pronounce(piece))
        groups.append(tuple(phones))
    return tuple(
        Word(
            text[token.start : token.end],
            token.start,
            token.end,
            told[token.start].said if token.start in told else _display(token.said),
            phones,
        )
        for token, phones in zip(found, fold_marks(groups), strict=True)
    )


def _with_endings(text: str, readings: Sequence[Reading]) -> list[Reading]:
    """`readings` with the endings that the text gives them."""
    ended = []
    for reading in readings:
        ending = _ENDING.match(clean(text[reading.end : reading.end + 3]))
        if ending and text[reading.end - 1].isalpha():
            said = reading.said + ending.group()
            end = reading.end + ending.end()
            reading = Reading(reading.start, end, said, with_s(reading.phones))
        ended.append(reading)
    return ended


def _display(said: Sequence[str]) -> str:
    """Spoken form to show: letters' names as capitals, pauses as commas."""
    shown = [piece[0].upper() + piece[2:] if piece[1:2] == "." else piece for piece in said]
    return " ".join(shown).replace(" ,", ",").replace("-", " ")


def _homographs(found: Sequence[Token]) -> dict[tuple[int, int], Phones]:
    """Readings by (token, piece) for words whose reading depends on their sentence."""
    chosen: dict[tuple[int, int], Phones] = {}
    sentence: list[tuple[int, int, str]] = []

    def read() -> None:
        for index, phones in read_homographs([word for _, _, word in sentence]).items():
            chosen[sentence[index][:2]] = phones
        sentence.clear()

    for index, token in enumerate(found):
        pieces = [token.mark] if token.mark else token.said
        sentence.extend((index, place, piece) for place, piece in enumerate(pieces))
        if token.mark in ENDS:
            read()
    read()
    return chosen
