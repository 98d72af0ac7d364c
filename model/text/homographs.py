"""Words that are spelled alike and read differently: the reading by part of speech and neighbours.

The tagger is HanTa (trained on the British National Corpus, tags of its C5 set); which reading goes
with a part of speech is misaki's choice, its phones those that checkpoints learned (g2p_en's list)
or else CMUdict's. A few words that no part of speech settles have rules of their own.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from model.text.lexicon import Phones, dictionary, parts_of_speech, pronounce, readings

# Function words and others whose variants are only matters of stress or not a matter of tags.
_LEAVE_NAMES = (
    "a am are as at be been but by can could could've couldn't do does doth for from had has have "
    "he her him his if in into is it may me might must my of on or our over shall she should so "
    "some than that the thee their them then there there's these they thine this those through to "
    "under up us used was we were what when who will with won't would wouldst ye yer you your "
    "address research finance"
)
_LEAVE = frozenset(_LEAVE_NAMES.split())


def _phones(text: str) -> Phones:
    return tuple(text.split())


_LED, _LEED = _phones("L EH1 D"), _phones("L IY1 D")
_DIPHTHONGS = frozenset({"AY", "AW", "EY", "OW", "OY"})
_BOH, _BOUGH = _phones("B OW1"), _phones("B AW1")


def _lead(before: str, tag: str, after: str, then: str) -> Phones:
    metal = before in {"of", "molten", "red", "white", "like", "with"} or after in {
        "pipe", "pipes", "pencil", "pencils", "bullet", "bullets", "poisoning", "roof", "shot",
        "weight", "weights", "ball", "balls", "coffin", "glass", "paint",
    }  # fmt: skip
    return _LED if metal and not tag.startswith("V") else _LEED


def _bow(before: str, tag: str, after: str, then: str) -> Phones:
    weapon = after in {"string", "tie", "ties", "window"} or then.startswith("arrow")
    weapon = weapon or before in {"cross", "long", "violin", "fiddle"}
    return _BOH if weapon and not tag.startswith("V") else _BOUGH


def _used(before: str, tag: str, after: str, then: str) -> Phones:
    return _phones("Y UW1 S T") if after == "to" else _phones("Y UW1 Z D")


def _close(before: str, tag: str, after: str, then: str) -> Phones:
    command = before in {"", ",", ".", ";", "and", "then"} and after in {
        "the", "your", "that", "this", "it", "up", "my", "his", "her", "their", "our",
    }  # fmt: skip
    if tag[0] == "V" or command or (tag[:2] == "NN" and after in {"of", ""}):
        return _phones("K L OW1 Z")
    return _phones("K L OW1 S")


def _adjective(adjective: str, otherwise: str) -> Callable[[str, str, str, str], Phones]:
    return lambda before, tag, after, then: _phones(adjective if tag[:2] == "AJ" else otherwise)


_RULES: dict[str, Callable[[str, str, str, str], Phones]] = {
    "lead": _lead,
    "bow": _bow,
    "used": _used,
    "close": _close,
    "august": _adjective("AA0 G AH1 S T", "AA1 G AH0 S T"),
    "aged": _adjective("EY1 JH IH0 D", "EY1 JH D"),
    "blessed": _adjective("B L EH1 S IH0 D", "B L EH1 S T"),
    "beloved": _adjective("B IH0 L AH1 V IH0 D", "B IH0 L AH1 V D"),
}


@cache
def _learned() -> dict[str, tuple[Phones, Phones, str]]:
    """g2p_en's list: the reading for a tag (of the Penn set), the reading for others, the tag."""
    spec = find_spec("g2p_en")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'g2p_en'", name="g2p_en")
    lines = Path(spec.origin).with_name("homographs.en").read_text("utf-8").splitlines()
    entries = (line.lower().split("|") for line in lines if not line.startswith("#"))
    table = {
        word: (_phones(one.upper()), _phones(other.upper()), tag.upper())
        for word, one, other, tag in entries
    }
    table["read"] = (_phones("R IY1 D"), _phones("R EH1 D"), "VBP")
    complex_noun = _phones("K AA1 M P L EH0 K S")
    table["complex"] = (_phones("K AH0 M P L EH1 K S"), complex_noun, "JJ")
    return table


def read_tagged(word: str, tag: str) -> Phones:
    """The reading of a word whose part of speech is known, as GPT-SoVITS' checkpoints learned it.

    `tag` is of the Penn set ("NN", "VBD"). The list's first reading is for its tag and those that
    begin with it, and for "VB" where the list says "VBP"; a word not on it is read as ever.
    """
    entry = _learned().get(word.lower())
    if not entry:
        return pronounce(word)
    one, other, own = entry
    return one if tag.startswith(own) or own.startswith(tag) else other


def is_learned(word: str) -> bool:
    """Whether checkpoints learned two readings of a lower-case word."""
    return word in _learned()


@cache
def _table(word: str) -> dict[str, Phones]:
    """Readings of `word` by part of speech (misaki's names for them), {} if there is no choice."""
    if word in _LEAVE:
        return {}
    spelled = [*_learned().get(word, ())[:2], *readings(word)]

    def as_learned(phones: Phones) -> Phones:
        """A listed reading with these consonants, stress and full vowels, if there is one."""
        return next((option for option in spelled if _same_word(option, phones)), phones)

    table = {tag: as_learned(phones) for tag, phones in parts_of_speech(word).items()}
    return table if len(set(table.values())) > 1 else {}


def _same_word(one: Phones, other: Phones) -> bool:
    def skeleton(phones: Phones) -> list[str]:
        """Weak vowels, which the two dictionaries write differently, all as "v"."""
        return [
            "v" if phone[-1] in "02" and phone[:-1] not in _DIPHTHONGS else phone.rstrip("02")
            for phone in phones
        ]

    return skeleton(one) == skeleton(other)


def is_homograph(word: str) -> bool:
    """Whether the reading of a lower-case word depends on its sentence."""
    return word in _RULES or bool(_table(word))


@cache
def _tagger() -> Callable[[list[str]], list[tuple[str, str, str]]]:
    from HanTa.HanoverTagger import HanoverTagger

    tag: Callable[[list[str]], list[tuple[str, str, str]]] = HanoverTagger(
        "morphmodel_en.pgz"
    ).tag_sent
    return tag


def _choose(table: dict[str, Phones], tag: str) -> Phones | None:
    if tag in {"VVD", "VVN"}:
        names = ["VBD" if tag == "VVD" else "VBN", "VERB"]
    elif tag[0] == "V":
        names = ["VERB"]
    elif tag[:2] == "NN":
        names = ["NOUN"]
    elif tag[:2] == "AJ":
        names = ["ADJ"]
    elif tag[:2] == "AV":
        names = ["ADV"]
    else:
        names = []
    return next((table[name] for name in [*names, "DEFAULT"] if name in table), None)


def read_homographs(words: Sequence[str]) -> dict[int, Phones]:
    """Readings for those of a sentence's words and marks that need the sentence, by index.

    `words` are spelled as printed, one word or mark each.
    """
    lower = [word.lower() for word in words]
    found = [index for index, word in enumerate(lower) if is_homograph(word)]
    if not found:
        return {}
    tags = [tag for _, _, tag in _tagger()(list(words))]
    chosen: dict[int, Phones] = {}
    for index in found:
        before = lower[index - 1] if index else ""
        after, then = [*lower[index + 1 : index + 3], "", ""][:2]
        if rule := _RULES.get(lower[index]):
            phones: Phones | None = rule(before, tags[index], after, then)
        else:
            phones = _choose(_table(lower[index]), tags[index])
        if phones and phones != dictionary(lower[index]):
            chosen[index] = phones
    return chosen
