"""What the pages say, in the languages they know; `texts/` has one file for each."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fastapi import Request

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "voxloom_language"
_TEXTS = Path(__file__).with_name("texts")


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
