"""What of a subtitle is said and who says it: sounds, songs, labels, dashes, credits."""

import pytest

from tasks.dub_types import Subtitles
from tasks.read_subtitles import subtitles_of


def srt(*texts: str) -> Subtitles:
    """Subtitles of these texts, three seconds each, one every four."""
    return subtitles_of(
        "test.srt",
        "".join(
            f"{number}\n00:{number * 4 // 60:02}:{number * 4 % 60:02},000 --> "
            f"00:{number * 4 // 60:02}:{number * 4 % 60 + 3:02},000\n{text}\n\n"
            for number, text in enumerate(texts, start=1)
        ),
    )


def said(*texts: str) -> list[tuple[str, str]]:
    return [(cue.speaker, cue.text) for cue in srt(*texts).cues]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Good morning.", "Good morning."),
        ("Two\nlines", "Two lines"),
        ("<i>Slanted</i> <b>and</b> <font color='#fff'>red</font>", "Slanted and red"),
        ("{\\an8}{\\i1}Up there", "Up there"),
        ("{y:i}Old codes", "Old codes"),
        ("Fish &amp; chips &lt;3", "Fish & chips <3"),
        ("I <3 you, and 2 < 3 > 1", "I <3 you, and 2 < 3 > 1"),
        ("<Get out!>", "Get out!"),
        ("1984", "1984"),
        ("10:30", "10:30"),
        ("42%", "42%"),
        ("#1 in the charts, #MeToo", "#1 in the charts, #MeToo"),
        ("-5 degrees.", "-5 degrees."),
        ("\u200e\u202aLeft\u202c to right\u200f\ufeff", "Left to right"),
        ("Line one\\NLine\\htwo", "Line one Line two"),
        ("Well-\nknown", "Well-known"),
        ("But isn't it -", "But isn't it -"),
        ("— and then he left", "and then he left"),
        ("...the head-snarlers", "...the head-snarlers"),
        # Sounds.
        ("[barking and roaring]", ""),
        ("[gunshot] Get down!", "Get down!"),
        ("Get down! [gunshot]", "Get down!"),
        ("What the [bleep], man?", "What the, man?"),
        ("(SIGHS) I know.", "I know."),
        ("(sighs) I know. (laughs)", "I know."),
        ("I know (sighs heavily) that.", "I know that."),
        ("[door\nslams] Who's there?", "Who's there?"),
        ("*sighs* Not *again*.", "Not again."),
        ("<laughs> Sure.", "Sure."),
        ("{laughs} Sure.", "Sure."),
        ("APPLAUSE AND CHEERING", ""),
        ("STOP!", "STOP!"),
        ("（拍手）", ""),
        ("（ため息）もういい", "もういい"),
        ("[音乐]\n你好", "你好"),
        ("今日は漢字(かんじ)を書く", "今日は漢字を書く"),
        ("[ __ ]", ""),
        # Said in brackets.
        ("Paris (the capital) is nice.", "Paris (the capital) is nice."),
        ("the agency (NASA) said so", "the agency (NASA) said so"),
        ("(I hope he doesn't see me.)", "(I hope he doesn't see me.)"),
        ("Paris\n(the capital of France)\nis nice.", "Paris (the capital of France) is nice."),
        ("[We must go now.]", "We must go now."),
        ("(Even so) he went.", "(Even so) he went."),
        ("The [old] man said.", "The old man said."),
        ("2 * 3 * 4 = 24 in snake_case", "2 * 3 * 4 = 24 in snake_case"),
        ("&lt;i&gt;Hi&lt;/i&gt; there", "Hi there"),
        # Songs.
        ("C# and F# are notes, and so is # 5", "C# and F# are notes, and so is # 5"),
        ("# 1 rule: be nice", "# 1 rule: be nice"),
        ("♪", ""),
        ("♪♪", ""),
        ("♪ La la la ♪", ""),
        ("♪ I love\nyou so ♪", ""),
        ("♪ one ♪\n♪ two ♪", ""),
        ("♪ one\n♪ two", ""),
        ("♪ one ♪\nHello there.", "Hello there."),
        ("♪ la ♪ Hello", "Hello"),
        ("Listen: ♪ la la", "Listen:"),
        ("♪\nHello", "Hello"),
        ("♪ la la\n- Hello", "Hello"),
        ("# I did it my way #", ""),
        ("🎵 la la 🎵", ""),
        ("～♪", ""),
        # No words.
        ("...", ""),
        ("?!", ""),
        ("- -", ""),
        ("😀", ""),
        # East Asian lines are joined without spaces.
        ("すべて安全\n完璧に安全だ", "すべて安全完璧に安全だ"),
        ("안녕하세요\n세계", "안녕하세요 세계"),
        ("Use\n漢字", "Use 漢字"),
    ],
)
def test_what_is_said(text: str, spoken: str) -> None:
    cues = srt("This is before it.", text, "And this is after it.").cues
    assert [cue.text for cue in cues if cue.number == 2] == [spoken]
    assert bool(cues[1].why) is not bool(spoken)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[laughing]", "a sound"),
        ("♪", "music"),
        ("♪ La la ♪", "sung"),
        ("...", "no words"),
        ("[SPEAKER_01]", "a speaker's name"),
        ("www.example.com", "credits"),
        ("Subtitles by Ann", "credits"),
        ("x" * 6000, "too long for a subtitle (6,000 characters)"),
    ],
)
def test_why_nothing_is_said(text: str, why: str) -> None:
    assert [cue.why for cue in srt(text, "Hello.").cues] == [why, ""]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["[SPEAKER_01] Hi.", "[SPEAKER_02]: Ho."], [("SPEAKER_01", "Hi."), ("SPEAKER_02", "Ho.")]),
        (["Speaker 1: Hi.", "Speaker 2: Ho."], [("Speaker 1", "Hi."), ("Speaker 2", "Ho.")]),
        (["<SPEAKER_01> Hi.", "SPEAKER 2\nHo."], [("SPEAKER_01", "Hi."), ("SPEAKER 2", "Ho.")]),
        (["BOB: Hi.", "Ho."], [("BOB", "Hi."), ("", "Ho.")]),
        (["BOB : Salut."], [("BOB", "Salut.")]),
        (["MRS. O'HARA: Hi."], [("MRS. O'HARA", "Hi.")]),
        (["McGEE: Hi."], [("McGEE", "Hi.")]),
        (["MAN #2: Hi."], [("MAN #2", "Hi.")]),
        (["BOB (whispering): Hi."], [("BOB", "Hi.")]),
        (["(whispering) BOB: Hi."], [("BOB", "Hi.")]),
        (["[on phone] BOB: Hi. [coughs]"], [("BOB", "Hi.")]),
        (["BOB:\nHi there."], [("BOB", "Hi there.")]),
        (["Bob: Hi.", "Ann: Ho.", "Bob: So?"], [("Bob", "Hi."), ("Ann", "Ho."), ("Bob", "So?")]),
        (
            ["BOB: Hi.", "BOB: So?", "Paris: a city."],
            [("BOB", "Hi."), ("BOB", "So?"), ("", "Paris: a city.")],
        ),
        (
            ["Bob: Hi.", "Ann: Ho.", "Bob: So?", "Ann: No.", "Eve: Oh."],
            [("Bob", "Hi."), ("Ann", "Ho."), ("Bob", "So?"), ("Ann", "No."), ("Eve", "Oh.")],
        ),
        (
            ["Note: it is late.", "Note: it is cold."],
            [("", "Note: it is late."), ("", "Note: it is cold.")],
        ),
        (
            ["First: open it.", "First: close it."],
            [("", "First: open it."), ("", "First: close it.")],
        ),
        (
            ["Rust: good.", "Rust: bad.", "There is rust."],
            [("", "Rust: good."), ("", "Rust: bad."), ("", "There is rust.")],
        ),
        (["WARNING: do not enter."], [("", "WARNING: do not enter.")]),
        (["He said: come."], [("", "He said: come.")]),
        (["(BOB) Hi.", "(Bob) Ho."], [("BOB", "Hi."), ("BOB", "Ho.")]),
        (["[Bob] Hi.", "[Bob] Ho."], [("Bob", "Hi."), ("Bob", "Ho.")]),
        (["(gasps) Hi.", "(gasps) Ho."], [("", "Hi."), ("", "Ho.")]),
        (["[TIRES SCREECH] Hi."], [("", "Hi.")]),
        (["<v Ann>Hi.</v>"], [("Ann", "Hi.")]),
        (["<v.loud Ann>Hi.</v>\n<v Bob>Ho."], [("Ann", "Hi."), ("Bob", "Ho.")]),
        (["- Hi.\n- Ho."], [("", "Hi."), ("second speaker", "Ho.")]),
        (["-Hi.\n-Ho.\n-So?"], [("", "Hi."), ("second speaker", "Ho."), ("", "So?")]),
        (["– Hi.\n– Ho."], [("", "Hi."), ("second speaker", "Ho.")]),
        (["Hi.\n- Ho."], [("", "Hi."), ("second speaker", "Ho.")]),
        (["- Hi. - Ho."], [("", "Hi."), ("second speaker", "Ho.")]),
        (["- Hi."], [("", "Hi.")]),
        (["- BOB: Hi.\n- ANN: Ho."], [("BOB", "Hi."), ("ANN", "Ho.")]),
        (["BOB: Hi.\nANN: Ho."], [("BOB", "Hi."), ("ANN", "Ho.")]),
        ([">> Hi. >> Ho."], [("", "Hi."), ("second speaker", "Ho.")]),
        ([">> BOB: Hi."], [("BOB", "Hi.")]),
        (["- [laughs]\n- Ho."], [("", "Ho.")]),
        (
            ["小明：你好。", "小红：再见。", "小明：好。", "小红：嗯。"],
            [("小明", "你好。"), ("小红", "再见。"), ("小明", "好。"), ("小红", "嗯。")],
        ),
        (["他说：走吧。", "他说：好。"], [("", "他说：走吧。"), ("", "他说：好。")]),
        (["（太郎）はい", "（太郎）いや"], [("太郎", "はい"), ("太郎", "いや")]),
        (["ИВАН: Привет."], [("ИВАН", "Привет.")]),
        (
            ["BOB: I think that", "we should go."],
            [("BOB", "I think that"), ("BOB", "we should go.")],
        ),
        (["BOB: I think so.", "We should go."], [("BOB", "I think so."), ("", "We should go.")]),
    ],
)
def test_who_says_it(texts: list[str], expected: list[tuple[str, str]]) -> None:
    assert said(*texts) == expected
