"""Respellings as newspapers print them: "her-MY-oh-nee", with the stressed syllable in capitals.

A part that is a word is read as that word ("knee"), any other by the sounds that its letters stand
for in such respellings ("zhuh"), and what is neither by the dictionaries and the guess.
"""

import re

from model.text.ipa import stressed
from model.text.lexicon import Phones, dictionary, fold, known, pronounce

# The vowels that stand for themselves, however a dictionary reads them.
_PLAIN_VOWELS = {
    "ah": "AA", "aw": "AO", "ay": "EY", "ee": "IY", "eh": "EH", "eye": "AY", "igh": "AY",
    "ih": "IH", "oh": "OW", "oo": "UW", "ow": "AW", "oy": "OY", "uh": "AH", "ur": "ER", "er": "ER",
}  # fmt: skip
_VOWELS = _PLAIN_VOWELS | {
    "air": "EH R", "ar": "AA R", "eer": "IH R", "ire": "AY R", "oor": "UH R", "or": "AO R",
    "ai": "EY", "au": "AO", "ea": "IY", "ei": "AY", "ew": "UW", "ie": "IY", "oa": "OW", "ou": "AW",
    "uu": "UH", "a": "AE", "e": "EH", "i": "IH", "o": "AA", "u": "AH", "y": "AY",
}  # fmt: skip
_FINAL_VOWELS = {"a": "AA", "e": "IY", "i": "IY", "o": "OW", "u": "UW", "y": "AY"}
_CONSONANTS = {
    "ch": "CH", "ck": "K", "dh": "DH", "gh": "G", "kh": "K", "ng": "NG", "nk": "NG K", "ph": "F",
    "qu": "K W", "sh": "SH", "th": "TH", "tch": "CH", "wh": "W", "zh": "ZH", "x": "K S",
    "b": "B", "bb": "B", "c": "K", "d": "D", "dd": "D", "f": "F", "ff": "F", "g": "G", "gg": "G",
    "h": "HH", "j": "JH", "k": "K", "l": "L", "ll": "L", "m": "M", "mm": "M", "n": "N", "nn": "N",
    "p": "P", "pp": "P", "q": "K", "r": "R", "rr": "R", "s": "S", "ss": "S", "t": "T", "tt": "T",
    "v": "V", "w": "W", "y": "Y", "z": "Z", "zz": "Z",
}  # fmt: skip


def _alternatives(sounds: dict[str, str]) -> str:
    return "|".join(sorted(sounds, key=len, reverse=True))


_SYLLABLE = re.compile(
    f"((?:{_alternatives(_CONSONANTS)})*)({_alternatives(_VOWELS)})"
    f"((?:{_alternatives(_CONSONANTS)})*)"
)
_CLUSTER = re.compile(_alternatives(_CONSONANTS))


def respelled(text: str) -> Phones:
    """Phones of a respelling in Latin letters; () where nothing in it has a sound."""
    phones: list[str] = []
    for word in text.split():
        parts = [part for part in re.split(r"[-‐‑·.]", word) if fold(part).strip("'’")]
        if len(parts) < 2:
            phones += _whole(parts[0].replace("’", "'").strip("'")) if parts else ()
            continue
        marked = any(_is_loud(part) for part in parts) and not all(map(_is_loud, parts))
        syllables = [_syllable(fold(part)) for part in parts]
        spoken: list[str] = []
        for part, syllable in zip(parts, syllables, strict=True):
            spoken += _with_stress(syllable, _is_loud(part) and marked)
        phones += stressed(spoken)
    return tuple(phones)


def _is_loud(part: str) -> bool:
    return part.isupper()


def _with_stress(syllable: Phones, loud: bool) -> list[str]:
    """The phones of a part of a word, stressed where it is `loud` and nowhere else."""
    plain = [re.sub("[012]$", "0", phone) for phone in syllable]
    if not loud:
        return plain
    vowels = [phone for phone in syllable if phone[-1].isdigit()]
    if len(vowels) == 1:
        return [re.sub("0$", "1", phone) for phone in plain]
    return list(syllable)


def _whole(word: str) -> Phones:
    return known(fold(word)) or _sounded(fold(word)) or pronounce(word)


def _syllable(part: str) -> Phones:
    if part in _PLAIN_VOWELS:
        return (_PLAIN_VOWELS[part] + "1",)
    return dictionary(part) or _sounded(part) or pronounce(part)


def _sounded(part: str) -> Phones:
    """The sounds of the letters of one syllable, () for what is none."""
    match = _SYLLABLE.fullmatch(part)
    if match is None:
        return ()
    before, vowel, after = match.groups()
    sound = _VOWELS[vowel] if after else _FINAL_VOWELS.get(vowel, _VOWELS[vowel])
    first, *rest = sound.split()
    return (*_consonants(before), first + "1", *rest, *_consonants(after))


def _consonants(letters: str) -> list[str]:
    return [sound for cut in _CLUSTER.findall(letters) for sound in _CONSONANTS[cut].split()]
