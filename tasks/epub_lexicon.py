"""Pronunciation lexicons (W3C PLS 1.0) of a book: what they say of its words becomes remarks."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.book import Remark
from tasks.epub_fold import fold_text
from tasks.epub_markup import XML, local_name, named, parse

ALPHABETS = {"ipa": "ipa", "x-sampa": "x-sampa", "xsampa": "x-sampa"}
MAX_LEXEMES = 100_000
LONGEST = 200
# A word, or one character of a script that has no spaces, or a mark.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+|\S")
_JOINABLE = re.compile(r"[^\W_]")
# "t" is no word in "don't", nor is "don".
_INSIDE = re.compile(r"[^\W_]['’]")
_GOES_ON = re.compile(r"['’]?[^\W_]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class Lexeme:
    """A printed form and what is said for it: an alias, or phonemes of an alphabet."""

    grapheme: str
    said: str = ""
    phonemes: str = ""
    alphabet: str = ""


@dataclass(frozen=True)
class PrintedLexicon:
    """A lexicon's lexemes by the first token of their printed form, the longest first."""

    language: str
    lexemes: dict[str, tuple[Lexeme, ...]]


def read_lexicon(content: bytes) -> PrintedLexicon:
    """A lexicon from the bytes of a PLS file; what is not understood in it is not in the result.

    Of several pronunciations the preferred or first one counts. A lexeme with a role is for one of
    several uses of the word, which nobody tells apart here, so it is left out.
    """
    root, _ = parse(content, is_html=False)
    lexicon = next(iter(named(root, "lexicon")), root)
    usual = lexicon.get("alphabet", "ipa")
    found: dict[str, list[Lexeme]] = {}
    for lexeme in named(lexicon, "lexeme")[:MAX_LEXEMES]:
        if lexeme.get("role"):
            continue
        said = [child for child in lexeme if local_name(child) in ("phoneme", "alias")]
        said.sort(key=lambda child: child.get("prefer", "").strip() != "true")
        for child in said:
            value = fold_text("".join(child.itertext()))
            alphabet = ALPHABETS.get((child.get("alphabet") or usual).strip().lower(), "")
            is_alias = local_name(child) == "alias"
            if value and len(value) <= LONGEST and (is_alias or alphabet):
                break
        else:
            continue
        for printed in named(lexeme, "grapheme"):
            grapheme = fold_text("".join(printed.itertext()))
            token = _TOKEN.match(grapheme)
            if token is None or len(grapheme) > LONGEST:
                continue
            entry = Lexeme(grapheme, value) if is_alias else Lexeme(grapheme, "", value, alphabet)
            found.setdefault(token[0], []).append(entry)
    lexemes = {
        token: tuple(sorted(entries, key=lambda entry: -len(entry.grapheme)))
        for token, entries in found.items()
    }
    return PrintedLexicon(lexicon.get(f"{{{XML}}}lang", "").strip(), lexemes)


def speaks(lexicon: PrintedLexicon, language: str) -> bool:
    """Whether a lexicon is for text in a language; one without a language is for all."""
    told = lexicon.language.split("-")[0].lower()
    return not told or told == language.split("-")[0].lower()


def lexicon_remarks(
    text: str, language: str, known: Sequence[Remark], lexicons: Iterable[PrintedLexicon]
) -> list[Remark]:
    """Remarks on the words of `text` (in `language` but for `known` remarks) that lexicons know.

    What the text itself says of a word goes before its lexicons, the first lexicon before others,
    the longer printed form before the shorter. Letters count in their case.
    """
    taken = bytearray(len(text))
    for one in known:
        if one.said or one.phonemes:
            taken[one.start : one.end] = b"\1" * (one.end - one.start)
    foreign = [one for one in known if one.language]
    found: list[Remark] = []
    for lexicon in lexicons:
        after = 0
        for token in _TOKEN.finditer(text):
            start = token.start()
            if start < after or token[0] not in lexicon.lexemes:
                continue
            told = (one.language for one in foreign if one.start <= start < one.end)
            if not speaks(lexicon, next(told, language)):
                continue
            entry = next((e for e in lexicon.lexemes[token[0]] if _stands(e, text, start)), None)
            if entry is None:
                continue
            end = start + len(entry.grapheme)
            if any(taken[start:end]):
                continue
            taken[start:end] = b"\1" * len(entry.grapheme)
            after = end
            found.append(
                Remark(
                    start, end, said=entry.said, phonemes=entry.phonemes, alphabet=entry.alphabet
                )
            )
    return found


def _stands(entry: Lexeme, text: str, start: int) -> bool:
    """Whether a printed form stands at `start` and ends where a word ends."""
    end = start + len(entry.grapheme)
    if not text.startswith(entry.grapheme, start) or _INSIDE.match(text[max(start - 2, 0) : start]):
        return False
    last = text[end - 1]
    return not (_JOINABLE.match(last) and not _UNSPACED.match(last) and _GOES_ON.match(text, end))
