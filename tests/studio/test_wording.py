"""What the pages say: the same things in every language."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request
from hypothesis import example, given
from hypothesis import strategies as st

from studio.wording import COOKIE, LANGUAGES, clock, counted, duration, language_of, size, texts

OPEN = ("stages", "reasons")  # what a language does not translate, it says in English


def leaves(said: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(said, str):
        yield path, said
        return
    for name, value in said.items():
        if path or name not in OPEN:
            yield from leaves(value, f"{path}.{name}")


def blanks(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same_with_the_same_blanks(language: str) -> None:
    english, other = dict(leaves(texts("en"))), dict(leaves(texts(language)))
    assert english.keys() == other.keys()
    for path, text in english.items():
        assert blanks(text) == blanks(other[path]), path


def asked(query: str = "", cookie: str = "", accept: str = "") -> Request:
    headers = [(b"accept-language", accept.encode()), (b"cookie", cookie.encode())]
    return Request({"type": "http", "query_string": query.encode(), "headers": headers})


def test_the_language_is_the_addresss_then_the_cookies_then_the_browsers() -> None:
    cookie = f"{COOKIE}=zh"
    assert language_of(asked("language=en", cookie, "zh-CN")) == "en"
    assert language_of(asked("", cookie, "en")) == "zh"
    assert language_of(asked("", "", "fr-FR, zh-TW;q=0.8, en;q=0.5")) == "zh"
    assert language_of(asked("language=../../x", "", "tlh")) == "en"


def test_numbers_are_said_as_people_say_them() -> None:
    units = texts("en")["units"]
    assert counted(units["words"], 1) == "1 word"
    assert counted(units["words"], 12345) == "12,345 words"
    assert counted(texts("zh")["units"]["chapters"], 2) == "2 章"
    assert [duration(s, units) for s in (0.2, 59, 60, 3600, 3720)] == [
        "1 s",
        "59 s",
        "1 min",
        "1 h 0 min",
        "1 h 2 min",
    ]
    assert [clock(s) for s in (0, 7.9, 187, 3753)] == ["0:00", "0:07", "3:07", "1:02:33"]
    assert [size(count) for count in (12, 2500, 12_340_000)] == ["1 kB", "2 kB", "12.3 MB"]


@given(st.floats(0, 1e7))
@example(59.7)
@example(3599.0)
def test_a_duration_is_never_sixty_of_anything(seconds: float) -> None:
    assert not re.search(r"\b60\b", duration(seconds, texts("en")["units"]).split(" h")[-1])
