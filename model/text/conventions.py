"""What GPT-SoVITS' checkpoints were given beside the reading: conventions, not sounds.

Our own voice is given the phones as they are; official checkpoints and what is tuned from them
have learned these conventions from their front-end.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from model.text.words import Word

_FEWEST_PHONES = 4  # below, the models tend to swallow the text; a comma goes first
_LONE = re.compile("['-]")
_HANGUL = re.compile("[ㄱ-ㅣ]")
_RUN = re.compile("[.,!?]{2,}")


def for_checkpoints(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words with the phones that official checkpoints expect.

    English: a capital "A" is the letter's name, a straight quote mark or a hyphen that stands alone
    is the phone "-", of a run of marks the first counts, and a text of very few phones begins with
    a comma. Korean: a text that ends without a mark gets a full stop.
    """
    changed = [_changed(word) if word.language == "en" else word for word in words]
    few = sum(len(word.phones) for word in changed) < _FEWEST_PHONES
    if few and changed and changed[0].language == "en":
        changed[0] = replace(changed[0], phones=(",", *changed[0].phones))
    if changed and changed[-1].language == "ko" and _HANGUL.fullmatch(changed[-1].phones[-1]):
        changed[-1] = replace(changed[-1], phones=(*changed[-1].phones, "."))
    return tuple(changed)


def _changed(word: Word) -> Word:
    if word.printed == "A":
        return replace(word, phones=("EY1",))
    if _LONE.fullmatch(word.printed) and not word.spoken:
        return replace(word, phones=("-",))
    if _RUN.fullmatch(word.printed) and word.phones:
        return replace(word, phones=(word.printed[0],))
    return word
