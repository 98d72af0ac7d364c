"""When words are heard: by the times of their sounds, or in proportion."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.assemble import Span
from tasks.plan import Token, Utterance
from tasks.word_times import WordTime, word_times

RATE = 24_000
UNKNOWN = np.zeros((0, 2), np.int16)
FRAME = RATE // 50
# “Oh, no!”
TOKENS = (
    Token(0, 1, "", 0),
    Token(1, 3, "oh", 1),
    Token(3, 4, "", 1),
    Token(5, 7, "no", 2),
    Token(7, 8, "", 1),
    Token(8, 9, "", 0),
)
PHONES = ("OW1", ",", "N", "OW1", "!")
TIMES = np.array([(5, 20), (20, 30), (30, 35), (35, 60), (60, 60)], np.int16)


def said(text: str, tokens: tuple[Token, ...] = (), phones: tuple[str, ...] = ()) -> Utterance:
    return Utterance(0, 0, text, phones, "en", 0.3, "paragraph", tokens=tokens)


def test_words_by_the_times_of_their_sounds() -> None:
    span = Span(0, 0, 10_000, 10_000 + 58 * FRAME, cut=3 * FRAME)
    words = word_times(said("“Oh, no!”", TOKENS, PHONES), TIMES, span.cut, span, RATE)
    assert words == [
        WordTime(10_000 + 2 * FRAME, 10_000 + 17 * FRAME, 0, 4),
        WordTime(10_000 + 27 * FRAME, 10_000 + 57 * FRAME, 5, 9),
    ]


def test_words_in_proportion_where_no_times_are_known() -> None:
    words = word_times(said("“Oh, no!”", TOKENS, PHONES), UNKNOWN, 0, Span(0, 0, 0, 3000), RATE)
    assert words == [WordTime(0, 1000, 0, 4), WordTime(1000, 3000, 5, 9)]


def test_words_by_their_letters_where_there_are_no_tokens() -> None:
    words = word_times(said("Oh, no! 漢字、かな"), TIMES, 0, Span(0, 0, 0, 1200), RATE)
    assert [(word.first, word.last) for word in words] == [
        (0, 3), (4, 7), (8, 9), (9, 11), (11, 12), (12, 13),
    ]  # fmt: skip
    assert words[0] == WordTime(0, 327, 0, 3)
    assert words[-1].end == 1200


def test_what_is_not_heard_has_no_words() -> None:
    assert word_times(said("Oh"), UNKNOWN, 0, Span(0, 0, 50, 50), RATE) == []
    assert word_times(said(" "), UNKNOWN, 0, Span(0, 0, 0, 50), RATE) == []


def test_a_text_of_which_no_token_is_spoken_is_shown() -> None:
    words = word_times(said("* *", (Token(0, 1, "", 0), Token(2, 3, "", 0))), UNKNOWN, 0,
                       Span(0, 0, 0, 100), RATE)  # fmt: skip
    assert [(word.first, word.last) for word in words] == [(0, 1), (2, 3)]


@pytest.mark.parametrize("text", ["Well — yes", "Well “yes”", "(Well) yes"])
def test_marks_belong_to_the_words_that_they_touch(text: str) -> None:
    places = [n for n, char in enumerate(text) if not char.isalnum() and not char.isspace()]
    first, second = text.index("Well"), text.index("yes")
    tokens = sorted(
        [Token(first, first + 4, "well", 3), Token(second, second + 3, "yes", 3)]
        + [Token(n, n + 1, "", 0) for n in places],
        key=lambda token: token.start,
    )
    phones = ("W", "EH1", "L", "Y", "EH1", "S")
    one, two = word_times(said(text, tuple(tokens), phones), UNKNOWN, 0, Span(0, 0, 0, 9), RATE)
    shown = [text[word.first : word.last] for word in (one, two)]
    wanted = {"Well — yes": ["Well —", "yes"], "Well “yes”": ["Well", "“yes”"]}
    assert shown == wanted.get(text, ["(Well)", "yes"])


@st.composite
def spoken(draw: st.DrawFn) -> tuple[Utterance, np.ndarray, Span]:
    tokens, text, phones = [], "", []
    for word in draw(st.lists(st.sampled_from(["a", "word", "“", "—", ",", "漢"]), max_size=12)):
        text += draw(st.sampled_from(["", " "]))
        count = draw(st.integers(1, 3)) if word.isalnum() else draw(st.integers(0, 1))
        phones += ["AH0" if word.isalnum() else ","] * count
        tokens.append(
            Token(len(text), len(text) + len(word), word if word.isalnum() else "", count)
        )
        text += word
    bounds = np.cumsum(draw(st.lists(st.integers(0, 9), min_size=len(phones) * 2,
                                     max_size=len(phones) * 2)))  # fmt: skip
    times = bounds.reshape(-1, 2).astype(np.int16)
    if draw(st.booleans()):
        times = UNKNOWN
    start = draw(st.integers(0, 5000))
    span = Span(0, 0, start, start + draw(st.integers(0, 50_000)), draw(st.integers(0, 3000)))
    return said(text, tuple(tokens), tuple(phones)), times, span


@given(spoken())
def test_words_are_in_order_within_the_span_and_hold_every_character(
    case: tuple[Utterance, np.ndarray, Span],
) -> None:
    utterance, times, span = case
    words = word_times(utterance, times, span.cut, span, RATE)
    assert all(span.start <= word.start <= word.end <= span.end for word in words)
    assert all(one.end <= two.start and one.last <= two.first for one, two in pairwise(words))
    if words:
        shown = "".join(utterance.text[word.first : word.last] for word in words)
        assert "".join(shown.split()) == "".join(utterance.text.split())
