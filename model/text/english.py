"""English: tokens of the normaliser with their phones."""

from collections.abc import Sequence

from model.text.homographs import read_homographs
from model.text.lexicon import Phones, pronounce
from model.text.marks import ENDS, fold_marks
from model.text.normalise import Token, tokens
from model.text.words import Word


def read_english(text: str) -> tuple[Word, ...]:
    """What is said for `text`, word by word."""
    found = list(tokens(text))
    chosen = _homographs(found)
    groups: list[Phones] = []
    for index, token in enumerate(found):
        if token.mark:
            groups.append((token.mark,))
            continue
        phones: list[str] = []
        for place, piece in enumerate(token.said):
            if piece == ",":
                phones.append(",")
            else:
                phones.extend(chosen.get((index, place)) or pronounce(piece))
        groups.append(tuple(phones))
    return tuple(
        Word(text[token.start : token.end], token.start, token.end, _display(token.said), phones)
        for token, phones in zip(found, fold_marks(groups), strict=True)
    )


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
