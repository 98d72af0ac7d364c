"""Cantonese: characters of the normaliser with their phones, an initial and a final each."""

from dataclasses import replace

from model.text.chinese import word_of
from model.text.chinese_normalise import MARKS, tokens
from model.text.optional import optional_module
from model.text.symbols import SYMBOLS, UNKNOWN
from model.text.words import Word


def read_cantonese(text: str) -> tuple[Word, ...]:
    """What is said for a Cantonese text, word by word; a printed character or number is a word.

    Raises UserError where the packages of the extra "chinese" are missing.
    """
    found = [
        replace(token, said="", phone="")  # Cantonese has no SP2 and SP3
        if token.phone
        else replace(token, said="-" if text[token.start] in "~～" else token.said)
        for token in tokens(text)
    ]
    characters = "".join(token.said for token in found)
    syllables = optional_module("ToJyutping", "chinese").get_jyutping_list(characters)
    phones = iter(
        (character,) if character in MARKS else _symbols(syllable or "")
        for character, syllable in syllables
    )
    return tuple(word_of(text, token, [next(phones) for _ in token.said], "yue") for token in found)


# In this order the first that a syllable begins with is its "initial". For syllables without a
# consonant that is odd (aa3 is "aa" and "a3", on1 "on" and "n1"), but what models have learned.
_INITIALS = (  # noqa: SIM905
    "aa aai aak aap aat aau ai au ap at ak a p b e ts t dz d kw k gw g f h l m ng n s y w c z j"
    " ong on ou oi ok o uk ung"
).split()
_INVENTORY = frozenset(SYMBOLS["v2"])


def _symbols(jyutping: str) -> tuple[str, ...]:
    """Phones of a syllable such as "keoi5"; none for "" (a character without a reading)."""
    syllable, tone = jyutping[:-1], jyutping[-1:]
    initial = next((one for one in _INITIALS if syllable.startswith(one)), "")
    if not initial:
        return ()
    symbols = (f"Y{initial}", f"Y{syllable[len(initial) :] or initial[-1]}{tone}")
    return tuple(symbol if symbol in _INVENTORY else UNKNOWN for symbol in symbols)
