"""What official checkpoints are given beside the reading."""

from model.text import Word, speak_text
from model.text.conventions import for_checkpoints


def given(text: str) -> str:
    return " ".join(p for word in for_checkpoints(speak_text(text).words) for p in word.phones)


def test_short_text_begins_with_a_comma() -> None:
    assert given("Hi") == ", HH AY1"
    assert given("Hello there.").startswith("HH")


def test_article_at_the_start_is_the_letter() -> None:
    assert given("A dog barked.").startswith("EY1 D AO1 G")
    assert given("I saw a dog.").startswith("AY1 S AO1 AH0")


def test_lone_quotes_and_hyphens_are_a_phone() -> None:
    assert given("She said, 'hello', and left.").count("-") == 2
    assert "-" not in given("Take 9 - 4 and tell me.").split()


def test_of_a_run_of_marks_the_first_counts() -> None:
    assert given("Wait... what?") == "W EY1 T . W AH1 T ?"


def test_korean_ends_with_a_mark() -> None:
    word = Word("네", 0, 1, "네", ("ㄴ", "ㅔ"), "ko")
    assert for_checkpoints([word])[0].phones == ("ㄴ", "ㅔ", ".")


def test_silence_stays() -> None:
    assert for_checkpoints(()) == ()


def test_official_versions_get_them_and_our_own_voice_does_not() -> None:
    assert speak_text("A cat.").phones[0] == "AH0"
    assert speak_text("A cat.", version="v2").phones[0] == "EY1"
    assert speak_text("A cat.", version="v1").phones[0] == "EY1"
