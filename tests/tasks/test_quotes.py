"""Quotations in every style of marks; apostrophes and forgotten marks open nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.quotes import quotations


def quoted(*texts: str, dashes: bool = False) -> list[list[str]]:
    found = quotations(texts, dashes)
    return [
        [text[quotation.start : quotation.end] for quotation in quotes]
        for text, quotes in zip(texts, found, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("“Yes,” said he, “I ‘do’ it.” And so.", ["“Yes,”", "“I ‘do’ it.”"]),
        ('"Yes," said he, "I do it." And so.', ['"Yes,"', '"I do it."']),
        ("‘Yes,’ he said. ‘I “do” it.’", ["‘Yes,’", "‘I “do” it.’"]),
        ("‘Yes’, he said, and ‘no’.", ["‘Yes’", "‘no’"]),
        ("‘I was runnin’ to the boys’ house,’ he said.", ["‘I was runnin’ to the boys’ house,’"]),
        ("‘Rock ’n’ roll!’ he said.", ["‘Rock ’n’ roll!’"]),
        ("'I don't,' said the boys' father. 'No'", ["'I don't,'", "'No'"]),
        ("'Tis the boys' house; 'twas theirs, and it's Tom's.", []),
        ("« Oui, » dit-il. «Non.»", ["« Oui, »", "«Non.»"]),
        ("»Ja«, sagte er, »nein.«", ["»Ja«", "»nein.«"]),
        ("„Ja“, sagte er. „Nein.” Und so.", ["„Ja“", "„Nein.”"]),
        ("”Ja”, sa han, ”nej.”", ["”Ja”", "”nej.”"]),
        ("「はい」と彼は言った。「『いいえ』」", ["「はい」", "「『いいえ』」"]),
        ("Nobody spoke—the boys’ dog didn’t.", []),
        ('It was 6\' 2" high, and 5" wide.', []),
    ],
)
def test_styles(text: str, parts: list[str]) -> None:
    assert quoted(text) == [parts]


def test_a_speech_goes_on_in_the_next_paragraph() -> None:
    texts = ["“One.", "“Two.", "“Three,” he said."]
    found = quotations(texts)
    assert [(q.continues, q.unfinished) for quotes in found for q in quotes] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert quoted(*texts) == [["“One."], ["“Two."], ["“Three,”"]]


def test_a_forgotten_mark_opens_nothing() -> None:
    assert quoted("“Yes,” he said. “And then he left.", "Nobody spoke.") == [["“Yes,”"], []]
    assert quoted("“Yes, he said. “No,” she said.") == [["“No,”"]]
    assert quoted("“One.", "", "“Two.”") == [[], [], ["“Two.”"]]


def test_the_marks_that_are_used_most_count() -> None:
    assert quoted("‘Yes,’ he said.", "“No” is ‘no’.", "‘Well,’ he said.") == [
        ["‘Yes,’"],
        ["‘no’"],
        ["‘Well,’"],
    ]


def test_dashes_open_speech_only_where_asked() -> None:
    text = "— Oui, — dit-il, — non."
    assert quoted(text) == [[]]
    assert quoted(text, dashes=True) == [["— Oui,", "— non."]]
    assert quoted("He came — late.", dashes=True) == [[]]


@given(
    st.lists(st.text(alphabet="aS .,!“”„«»\"‘’'—「」\n", max_size=60), max_size=5),
    st.booleans(),
)
def test_quotations_are_in_order_and_apart(texts: list[str], dashes: bool) -> None:
    for text, quotes in zip(texts, quotations(texts, dashes), strict=True):
        at = 0
        for quotation in quotes:
            assert at <= quotation.start < quotation.end <= len(text)
            at = quotation.end


@pytest.mark.parametrize("text", ["‘", "'a ", "“", '" ', "‘a’ ", "‘s’ ", "— "])
def test_long_paragraphs_take_no_longer(text: str) -> None:
    assert len(quotations([text * 20_000])) == 1
