"""Phonetic alphabets: IPA and X-SAMPA as ARPAbet, the phones of English in the inventory.

Sounds that English lacks become the nearest that it has; marks of length, tone and detail fall
away. The X-SAMPA table follows J. C. Wells, "Computer-coding the IPA: a proposed extension of
SAMPA" (1995).
"""

import re
import unicodedata

from model.text.lexicon import Phones

_VOWELS = {
    "aɪə": "AY AH", "aʊə": "AW AH",
    "aɪ": "AY", "ɑɪ": "AY", "ʌɪ": "AY", "ai": "AY", "aʊ": "AW", "ɑʊ": "AW", "æʊ": "AW", "au": "AW",
    "eɪ": "EY", "ɛɪ": "EY", "æɪ": "EY", "ei": "EY", "oʊ": "OW", "əʊ": "OW", "ɔʊ": "OW", "ou": "OW",
    "ɔɪ": "OY", "oɪ": "OY", "ɒɪ": "OY", "ɔi": "OY", "oi": "OY", "ɔy": "OY",
    "ɪər": "IH R", "eər": "EH R", "ɛər": "EH R", "ʊər": "UH R",
    "ɪə": "IH R", "eə": "EH R", "ɛə": "EH R", "ʊə": "UH R",
    "ɜːr": "ER", "ɜr": "ER", "ɜː": "ER", "əːr": "ER", "ər": "ER", "ɝ": "ER", "ɚ": "ER", "ɜ": "ER",
    "i": "IY", "ɪ": "IH", "ɨ": "IH", "ᵻ": "IH", "ɩ": "IH", "eː": "EY", "e": "EH", "ɛ": "EH",
    "æ": "AE", "a": "AA", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "o": "OW", "ʊ": "UH", "ɷ": "UH",
    "u": "UW", "ʉ": "UW", "ɯ": "UW", "y": "UW", "ʏ": "UH", "ø": "ER", "œ": "ER", "ɵ": "UH",
    "ʌ": "AH", "ɐ": "AH", "ə": "AH", "ɘ": "AH", "ɤ": "AH", "ɞ": "ER", "ɶ": "AA",
}  # fmt: skip
_CONSONANTS = {
    "tʃ": "CH", "tɕ": "CH", "tʂ": "CH", "ʧ": "CH", "ʨ": "CH", "dʒ": "JH", "dʑ": "JH", "dʐ": "JH",
    "ʤ": "JH", "ʥ": "JH", "ʦ": "T S", "ʣ": "D Z",
    "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "q": "K", "ɢ": "G",
    "ʈ": "T", "ɖ": "D", "c": "K", "ɟ": "JH", "ɓ": "B", "ʙ": "B", "ɗ": "D", "ɠ": "G",
    "f": "F", "v": "V", "ɸ": "F", "β": "V", "ʋ": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z",
    "ʃ": "SH", "ʒ": "ZH", "ɕ": "SH", "ʑ": "ZH", "ʂ": "SH", "ɧ": "SH", "ʐ": "ZH", "x": "K", "χ": "K",
    "ç": "HH", "ɣ": "G", "ʝ": "Y", "ħ": "HH", "h": "HH", "ɦ": "HH", "ɬ": "L", "ɮ": "L",
    "m": "M", "ɱ": "M", "n": "N", "ɳ": "N", "ɲ": "N Y", "ŋ": "NG", "ɴ": "NG",
    "l": "L", "ɫ": "L", "ɭ": "L", "ʎ": "L Y", "ʟ": "L", "r": "R", "ɹ": "R", "ɾ": "R", "ɻ": "R",
    "ɽ": "R", "ɺ": "R", "ʀ": "R", "ʁ": "R", "w": "W", "ʍ": "W", "ɥ": "W", "ɰ": "W", "j": "Y",
}  # fmt: skip
_SONORANTS = frozenset(("N", "M", "NG", "L", "R", "W", "Y"))
_SYLLABIC = {"n": "AH N", "m": "AH M", "l": "AH L", "ɫ": "AH L", "ŋ": "AH NG", "r": "ER"}
_SOUNDS = _VOWELS | _CONSONANTS
_SYMBOL = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)))
_VOWEL = re.compile("|".join(sorted(_VOWELS, key=len, reverse=True)))
_STRESS = {"ˈ": "1", "'": "1", "ˌ": "2"}
# Length, syllable and word borders, tones, release, raising: nothing that ARPAbet can say.
_IGNORED = frozenset("ːˑ.‿|‖-ʰʲʷˠˤˡⁿʼʔʕʡʢ˞˥˦˧˨˩ꜛꜜ↗↘()[]/\u02d0")
_TIES = re.compile("[\u0361\u035c\u032f\u0306]")  # also the marks of a vowel that is no syllable

_X_SAMPA = {
    "r\\`": "ɻ", "l\\": "ɺ", "r\\": "ɹ", "h\\": "ɦ", "s\\": "ɕ", "z\\": "ʑ", "v\\": "ʋ",
    "j\\": "ʝ", "x\\": "ɧ", "p\\": "ɸ", "B\\": "ʙ", "R\\": "ʀ", "N\\": "ɴ", "G\\": "ɢ",
    "K\\": "ɮ", "L\\": "ʟ", "M\\": "ɰ", "X\\": "ħ", "J\\": "ɟ", "@\\": "ɘ", "3\\": "ɞ",
    "t`": "ʈ", "d`": "ɖ", "n`": "ɳ", "s`": "ʂ", "z`": "ʐ", "l`": "ɭ", "r`": "ɽ",
    "@`": "ɚ", "3`": "ɝ", "I\\": "ᵻ", "?\\": "ʕ",
    "A": "ɑ", "B": "β", "C": "ç", "D": "ð", "E": "ɛ", "F": "ɱ", "G": "ɣ", "H": "ɥ", "I": "ɪ",
    "J": "ɲ", "K": "ɬ", "L": "ʎ", "M": "ɯ", "N": "ŋ", "O": "ɔ", "P": "ʋ", "Q": "ɒ", "R": "ʁ",
    "S": "ʃ", "T": "θ", "U": "ʊ", "V": "ʌ", "W": "ʍ", "X": "χ", "Y": "ʏ", "Z": "ʒ",
    "@": "ə", "{": "æ", "}": "ʉ", "1": "ɨ", "2": "ø", "3": "ɜ", "4": "ɾ", "5": "ɫ", "6": "ɐ",
    "7": "ɤ", "8": "ɵ", "9": "œ", "&": "ɶ", "?": "ʔ", '"': "ˈ", "%": "ˌ", ":": "ː", "=": "\u0329",
    "_=": "\u0329", "_~": "\u0303", "~": "\u0303", "_^": "\u032f",
}  # fmt: skip
_X_SAMPA_SYMBOL = re.compile(
    "|".join(re.escape(symbol) for symbol in sorted(_X_SAMPA, key=len, reverse=True))
    + r"|_(?P<detail>[A-Za-z0-9?<>\\/^\"+-])|(?P<same>.)",
    re.S,
)


def ipa_phones(ipa: str) -> Phones:
    """ARPAbet for a word or several in IPA; () where it has a symbol that is none.

    A word whose stress is not marked has it on its first full vowel.
    """
    phones: list[str] = []
    for word in unicodedata.normalize("NFD", ipa).split():
        spoken = _word(_TIES.sub("", word).replace("c\u0327", "ç").replace("ɹ", "r"))
        if spoken is None:
            return ()
        phones += spoken
    return tuple(phones)


def x_sampa_phones(x_sampa: str) -> Phones:
    """`ipa_phones` for a word or several in X-SAMPA."""

    def ipa(match: re.Match[str]) -> str:
        if match["detail"]:
            return ""
        return match["same"] or _X_SAMPA[match.group()]

    return ipa_phones(_X_SAMPA_SYMBOL.sub(ipa, x_sampa))


def _word(ipa: str) -> list[str] | None:
    phones: list[str] = []
    stress, at = "", 0
    while at < len(ipa):
        if ipa[at] in _STRESS:
            stress = _STRESS[ipa[at]]
            at += 1
        elif ipa[at] == "y" and (_VOWEL.match(ipa, at + 1) or ipa[at + 1 : at + 2] in _STRESS):
            phones.append("Y")  # as American dictionaries write it
            at += 1
        elif match := _SYMBOL.match(ipa, at):
            at = match.end()
            syllabic = ipa[at : at + 1] == "\u0329" and match.group() in _SYLLABIC
            sounds = _SYLLABIC if syllabic else _SOUNDS
            for sound in sounds[match.group()].split():
                if sound in _VOWEL_PHONES:
                    sound, stress = sound + (stress or "0"), ""
                phones.append(sound)
            if ipa[at : at + 1] == "\u0303":  # a nasal vowel
                phones.append("N")
        elif ipa[at] in _IGNORED or unicodedata.combining(ipa[at]):
            at += 1
        else:
            return None
    return stressed(_with_syllables(phones))


def _with_syllables(phones: list[str]) -> list[str]:
    """`phones` with a vowel where a nasal or "l" must be a syllable, as in "button" without one."""
    voiced: list[str] = []
    for place, phone in enumerate(phones):
        after = phones[place + 1] if place + 1 < len(phones) else ""
        if phone in ("N", "M", "L") and not after[-1:].isdigit():
            before = voiced[-1] if voiced else "0"
            if before[-1].isalpha() and before not in _SONORANTS:
                voiced.append("AH0")
        voiced.append(phone)
    return voiced


_VOWEL_PHONES = frozenset(
    "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()  # noqa: SIM905
)


def stressed(phones: list[str]) -> list[str]:
    """`phones` of a word with stress on the first full vowel where no vowel has it."""
    vowels = [place for place, phone in enumerate(phones) if phone[-1].isdigit()]
    if vowels and not any(phones[place].endswith("1") for place in vowels):
        first = next((place for place in vowels if phones[place] != "AH0"), vowels[0])
        phones[first] = phones[first][:-1] + "1"
    return phones
