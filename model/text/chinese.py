"""Mandarin: characters of the normaliser with their phones, an initial and a final each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from model.text.chinese_normalise import MARKS, Token, tokens
from model.text.optional import optional_module
from model.text.symbols import SYMBOLS
from model.text.tones import erhua, merge_words, sandhi
from model.text.words import Word

# 嗯 and 呣 have no vowel and so no phones: they are said like these.
_EQUAL_SOUNDS = str.maketrans("嗯呣", "恩母")


def read_chinese(text: str) -> tuple[Word, ...]:
    """What is said for a Mandarin text, word by word; a printed character or number is a word.

    Latin letters and other scripts are words with nothing said. Raises UserError where the
    packages of the extra "chinese" are missing.
    """
    return _read(text, with_erhua=True)


def read_chinese_v1(text: str) -> tuple[Word, ...]:
    """`read_chinese` for models of version v1, in which 儿 keeps its own tone."""
    return _read(text, with_erhua=False)


def _read(text: str, with_erhua: bool) -> tuple[Word, ...]:
    found = fold_runs(tokens(text.translate(_EQUAL_SOUNDS)))
    phones = iter(_phones("".join(token.said for token in found), with_erhua))
    return tuple(word_of(text, token, [next(phones) for _ in token.said], "zh") for token in found)


def word_of(text: str, token: Token, phones: Sequence[Sequence[str]], language: str) -> Word:
    """The word of a token of `text`, with the phones of each character said for it."""
    if token.phone:
        phones = [(token.phone,)]
    return Word(
        text[token.start : token.end],
        token.start,
        token.end,
        spoken="" if set(token.said) <= MARKS or not any(phones) else token.said,
        phones=tuple(phone for group in phones for phone in group),
        language=language,
        characters=token.said,
        word2ph=tuple(len(group) for group in phones),
    )


def fold_runs(found: Sequence[Token]) -> list[Token]:
    """`found` with only the first mark of several in a row said."""
    folded: list[Token] = []
    marked = False
    for token in found:
        if token.said:
            if marked and token.said in MARKS:
                token = Token(token.start, token.end)
            else:
                marked = token.said in MARKS
        folded.append(token)
    return folded


@dataclass(frozen=True)
class _Syllable:
    """One character's reading by pypinyin; a mark's has itself as `final` and no tone."""

    initial: str
    final: str
    tone: int


def _phones(characters: str, with_erhua: bool) -> list[tuple[str, ...]]:
    """Phones of each of `characters`, which are Chinese ones and marks."""
    tagger = _tagger()
    phones: list[tuple[str, ...]] = []
    for clause in re.findall(r"[^!?…,.\-]*[!?…,.\-]|[^!?…,.\-]+", characters):
        tagged = [(pair.word, pair.flag) for pair in tagger.lcut(clause)]
        for word, kind in merge_words(tagged, _tones):
            syllables = _syllables(word)
            tones = sandhi(word, kind, _tones(word))
            if with_erhua:
                erhua(word, kind, tones)
            for syllable, tone in zip(syllables, tones, strict=True):
                phones.append(_symbols(syllable.initial, syllable.final, tone))
    return phones


@cache
def _tagger():  # type: ignore[no-untyped-def]  # jieba has no types
    optional_module("jieba", "chinese").setLogLevel("ERROR")
    return optional_module("jieba.posseg", "chinese").dt


def _tones(word: str) -> list[int]:
    return [syllable.tone for syllable in _syllables(word)]


@lru_cache(1 << 16)
def _syllables(word: str) -> tuple[_Syllable, ...]:
    pypinyin = optional_module("pypinyin", "chinese")

    def read(style: object) -> list[str]:
        found: list[str] = pypinyin.lazy_pinyin(
            word, style=style, neutral_tone_with_five=True, errors=list
        )
        return found

    initials, finals = read(pypinyin.Style.INITIALS), read(pypinyin.Style.FINALS_TONE3)
    return tuple(
        _Syllable(initial, final[:-1], int(final[-1]))
        if final[-1:].isdigit()
        else _Syllable("", character, 0)
        for character, initial, final in zip(word, initials, finals, strict=True)
    )


_AFTER_INITIAL = {"uei": "ui", "iou": "iu", "uen": "un"}
_WITHOUT_INITIAL = {"i": "yi", "in": "yin", "ing": "ying", "u": "wu", "ian": "yEn", "ie": "yE"}


def _symbols(initial: str, final: str, tone: int) -> tuple[str, ...]:
    """The inventory's initial and final of a syllable, a mark, or nothing for what is neither.

    The i of zi and zhi are finals of their own (i0, ir); a syllable without an initial has y, w
    or, before a, e and o, the vowel's capital twice.
    """
    if not tone:
        return (final,) if final in MARKS else ()
    if initial:
        if final == "i" and initial in {"z", "c", "s"}:
            final = "i0"
        elif final == "i" and initial in {"zh", "ch", "sh", "r"}:
            final = "ir"
        else:
            final = _AFTER_INITIAL.get(final, final)
    elif final in _WITHOUT_INITIAL:
        initial, final = _WITHOUT_INITIAL[final][0], _WITHOUT_INITIAL[final][1:]
    elif final[0] == "v":
        initial = "y"
    elif final[0] in "iu":
        initial, final = "y" if final[0] == "i" else "w", final[1:]
    else:
        initial = {"a": "AA", "e": "EE", "ê": "EE", "o": "OO"}.get(final[0], "")
    symbols = (initial, f"{final}{tone}")
    return symbols if _INVENTORY.issuperset(symbols) else ()


_INVENTORY = frozenset(SYMBOLS["v1"])
