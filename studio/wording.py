"""What the pages say, in the languages they know; `texts/` has one file for each.

What the pipeline itself says (why a line is doubtful, what is wrong with a file) is English. It has
a limited set of sentences, which are known again by their templates and said in the listener's
language: `texts/sentences.LANGUAGE.yaml` has them.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from fastapi import Request
from fastapi.responses import JSONResponse
from markupsafe import Markup, escape

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "voxloom_language"
_TEXTS = Path(__file__).with_name("texts")
_SPOKEN = "en"  # by the pipeline
_BLANK = re.compile(r"({\d})")
_FEW = 8  # letters: so short a template is known by what stands in it


@cache
def texts(language: str) -> Mapping[str, Any]:
    """The texts of a language in LANGUAGES, by page and name."""
    found: Mapping[str, Any] = yaml.safe_load(
        (_TEXTS / f"{language}.yaml").read_text(encoding="utf-8")
    )
    return found


def language_of(request: Request) -> str:
    """The language that was asked for: by the address, the cookie, or the browser's wishes."""
    asked = (request.query_params.get("language", ""), request.cookies.get(COOKIE, ""))
    wishes = request.headers.get("accept-language", "").split(",")
    for wish in (*asked, *wishes):
        code = wish.strip()[:2].lower()
        if code in LANGUAGES:
            return code
    return "en"


def counted(forms: str, count: int) -> str:
    """A text for a number: "{count} word|{count} words" has a form for one."""
    one, _, many = forms.partition("|")
    return (one if count == 1 or not many else many).format(count=f"{count:,}")


def duration(seconds: float, units: Mapping[str, str]) -> str:
    """A duration as one says it: 40 s, 3 min, 2 h 5 min."""
    if round(seconds) < 60:
        return units["seconds"].format(seconds=max(1, round(seconds)))
    hours, minutes = divmod(round(seconds / 60), 60)
    return units["hours" if hours else "minutes"].format(hours=hours, minutes=minutes)


def clock(seconds: float) -> str:
    """A time as a player shows it: 3:07, 1:02:33."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: int) -> str:
    """A number of bytes as one says it: 3 kB, 12.3 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def translated(sentence: str, language: str) -> str | None:
    """A sentence of the pipeline's in a language; None where it is not known there. Reasons are
    joined by semicolons, and each is known or none."""
    if language == _SPOKEN or not sentence:
        return sentence
    whole = _known(sentence, language)
    if whole is not None or "; " not in sentence:
        return whole
    parts = [_known(part, language) for part in sentence.split("; ")]
    known = [part for part in parts if part is not None]
    return "；".join(known) if len(known) == len(parts) else None


def in_words(sentence: str, language: str) -> str:
    """The same as text: an unknown sentence in English, after words that say so."""
    said = translated(sentence, language)
    return f"{texts(language)['errors']['english']}{sentence}" if said is None else said


def in_markup(sentence: str, language: str) -> Markup:
    """The same as markup, which tells screen readers what is English."""
    said = translated(sentence, language)
    if said is not None:
        return escape(said)
    lead = texts(language)["errors"]["english"]
    return Markup('{}<span lang="en">{}</span>').format(lead, sentence)


def problem(request: Request, status: int, sentence: str) -> JSONResponse:
    """An answer that says what went wrong in the language of the request, if that is known."""
    language = language_of(request)
    said = translated(sentence, language)
    told = {"Content-Language": _SPOKEN if said is None else language}
    return JSONResponse({"detail": sentence if said is None else said}, status, told)


@lru_cache(maxsize=4096)
def _known(sentence: str, language: str) -> str | None:
    for pattern, text, letters in _templates(language):
        match = pattern.fullmatch(sentence)
        if match is None:
            continue
        values = match.groups()
        known = [translated(value, language) for value in values]
        if letters < _FEW and values and None in known[1:]:
            continue
        shown = [value if said is None else said for value, said in zip(values, known, strict=True)]
        parts = _BLANK.split(text)
        parts[1::2] = [shown[int(blank[1]) - 1] for blank in parts[1::2]]
        return "".join(parts)
    return None


@cache
def _templates(language: str) -> list[tuple[re.Pattern[str], str, int]]:
    """The known sentences: a pattern of the English one, the text in a language, and how many
    letters the English one has besides its blanks; those with most come first."""
    path = _TEXTS / f"sentences.{language}.yaml"
    found = []
    for english, text in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        fixed = _BLANK.split(english)[::2]
        pattern = re.compile("(.+?)".join(map(re.escape, fixed)), re.DOTALL)
        found.append((pattern, text, sum(char.isalpha() for part in fixed for char in part)))
    return sorted(found, key=lambda one: -one[2])
