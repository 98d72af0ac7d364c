"""Whole subtitle files: formats, the order and lengths of cues, what comes twice, refusals."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from tasks import read_subtitles as reading
from tasks.dub_types import Subtitles
from tasks.ffmpeg import input_arguments, run_ffmpeg
from tasks.read_subtitles import read_subtitles, subtitles_of


def srt(*cues: tuple[str, str, str]) -> Subtitles:
    """Subtitles of (start, end, text) with times as `mm:ss,mmm`."""
    return subtitles_of(
        "test.srt",
        "".join(
            f"{number}\n00:{start} --> 00:{end}\n{text}\n\n"
            for number, (start, end, text) in enumerate(cues, start=1)
        ),
    )


def times(read: Subtitles) -> list[tuple[int, int, str]]:
    return [(cue.start_ms, cue.end_ms, cue.text) for cue in read.cues]


def repairs(read: Subtitles) -> list[tuple[int, str]]:
    return [(repair.number, repair.what) for repair in read.repairs]


def test_cues_come_in_the_order_of_their_starts() -> None:
    read = srt(("05:00,000", "05:01,000", "B"), ("01:00,000", "01:01,000", "A"))
    assert [(cue.index, cue.number, cue.text) for cue in read.cues] == [(0, 2, "A"), (1, 1, "B")]
    assert repairs(read) == [(2, "It stood after a later cue.")]


def test_overlapping_cues_stay_so() -> None:
    read = srt(("00:01,000", "00:05,000", "A"), ("00:02,000", "00:06,000", "B"))
    assert times(read) == [(1000, 5000, "A"), (2000, 6000, "B")]
    assert not read.repairs


@pytest.mark.parametrize(
    ("start", "end", "expected", "what"),
    [
        ("00:01,000", "00:01,000", (1000, 1800), "It had no length; it is given 0.80 s."),
        ("00:03,000", "00:01,000", (3000, 3800), "It ended before it began; it is given 0.80 s."),
        ("00:59,500", "00:59,500", (59_500, 60_000), "It had no length; it is given 0.50 s."),
    ],
)
def test_a_cue_has_a_length(start: str, end: str, expected: tuple[int, int], what: str) -> None:
    read = srt((start, end, "0123456789"), ("01:00,000", "01:01,000", "Next."))
    assert times(read)[0] == (*expected, "0123456789")
    assert repairs(read) == [(1, what)]


def test_a_time_past_any_film_is_not_spoken() -> None:
    text = "1\n2000:00:00,000 --> 2000:00:01,000\nA\n\n2\n100:00:01,000 --> 100:00:02,000\nB"
    read = subtitles_of("a.srt", text)
    assert [(cue.start_ms, cue.text, cue.why) for cue in read.cues] == [
        (360_001_000, "B", ""),
        (7_200_000_000, "", "its time is past any film"),
    ]


def test_what_is_shown_twice_at_once_counts_once() -> None:
    read = srt(*[("00:01,000", "00:02,000", "Yes.")] * 2, ("00:02,000", "00:03,000", "Yes."))
    assert times(read) == [(1000, 2000, "Yes."), (2000, 3000, "Yes.")]
    assert repairs(read) == [(2, "It shows what another cue shows; it counts once.")]


def test_frames_of_an_animation_are_one_cue() -> None:
    read = srt(*[(f"00:01,{n * 40:03}", f"00:01,{n * 40 + 40:03}", "Stop!") for n in range(20)])
    assert times(read) == [(1000, 1800, "Stop!")]


ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.000 --> 00:00:02.000 align:start position:0%
so<00:00:00.320><c> this</c><00:00:00.640><c> is</c>

00:00:02.000 --> 00:00:02.010 align:start position:0%
so this is


00:00:02.010 --> 00:00:04.000 align:start position:0%
so this is
a<00:00:02.500><c> rolling</c><00:00:03.000><c> one</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
a rolling one


00:00:04.010 --> 00:00:06.000 align:start position:0%
a rolling one
[Music]

00:00:06.000 --> 00:00:06.010 align:start position:0%
[Music]


00:00:06.010 --> 00:00:08.000 align:start position:0%
[Music]
and &amp; on
"""


def test_rolling_captions_are_said_once() -> None:
    read = subtitles_of("a.vtt", ROLLING)
    assert [(cue.start_ms, cue.text) for cue in read.cues if cue.text] == [
        (0, "so this is"),
        (2010, "a rolling one"),
        (6010, "and & on"),
    ]
    assert read.language == "en"


def test_growing_captions_are_said_once() -> None:
    words = ["one", "two", "three", "four", "five", "six"]
    read = srt(*[(f"00:0{n},000", f"00:0{n + 1},000", " ".join(words[: n + 1])) for n in range(6)])
    assert [cue.text for cue in read.cues] == words


def test_people_who_repeat_themselves_are_heard_again() -> None:
    read = srt(
        ("00:01,000", "00:02,000", "No."),
        ("00:02,000", "00:03,000", "No."),
        ("00:03,000", "00:04,000", "No, no!"),
        ("00:05,000", "00:06,000", "Well then."),
        ("00:06,000", "00:07,000", "So be it."),
        ("00:07,000", "00:08,000", "Let us go."),
        ("00:08,000", "00:09,000", "Right now."),
    )
    assert len([cue for cue in read.cues if cue.text]) == 7


def test_a_repair_of_many_cues_is_told_once() -> None:
    read = subtitles_of(
        "a.srt", "".join(f"{n}\n0:0:{n} --> 0:0:{n + 1}\nNo {n}.\n\n" for n in range(1, 21))
    )
    assert repairs(read) == [(1, "Its times are written oddly. (20 times in all)")]


def test_two_people_in_a_cue_share_its_time_by_what_they_say() -> None:
    read = srt(("00:01,000", "00:05,000", "- No.\n- Certainly."))
    assert [(c.number, c.start_ms, c.end_ms, c.shown) for c in read.cues] == [
        (1, 1000, 1923, "No."),
        (1, 1923, 5000, "Certainly."),
    ]


VTT = """WEBVTT - Test

STYLE
::cue { color: red }

NOTE 00:00:00.000 --> 00:00:01.000 no cue

first
00:01.000 --> 00:02.000 align:start
<v Ann>Fish &amp; <i>chips</i>.</v>

NOTE
a comment

00:00:03.000 --> 00:00:04.000
<v.loud Bob>Two.
<c.red>words</c> <lang en>more</lang>
"""


def test_webvtt() -> None:
    read = subtitles_of("a.vtt", VTT)
    assert [(c.start_ms, c.speaker, c.text) for c in read.cues] == [
        (1000, "Ann", "Fish & chips."),
        (3000, "Bob", "Two. words more"),
    ]
    assert not read.repairs


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ("00:01.000 -->", "-00:01.000 -->", (0, 2000)),
        ("00:01.000 --> 00:02.000", "00:01,000 --> 00:02,000", (1000, 2000)),
        ("00:01.000 --> 00:02.000", "00:01.000 -> 00:02.000", (1000, 2000)),
        ("WEBVTT - Test\n\n", "\n", (1000, 2000)),
        ("\n\nNOTE\na comment\n\n", "\n", (1000, 2000)),
    ],
)
def test_webvtt_that_is_not_well_formed(old: str, new: str, first: tuple[int, int]) -> None:
    read = subtitles_of("a.vtt", VTT.replace(old, new, 1))
    assert (read.cues[0].start_ms, read.cues[0].end_ms) == first
    assert "Fish & chips." in read.cues[0].text
    assert read.cues[-1].text.endswith("words more")


ASS = r"""[Script Info]
Title: test

[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\an8\i1}Well, {a comment}yes,\Nand\hno.
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\an8\blur3}Well, yes,\Nand\hno.
Comment: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,Not shown.
Dialogue: 0,0:00:05.00,0:00:06.00,Default,Ann,0,0,0,,{\p1}m 0 0 l 100 0 100 100{\p0}
Dialogue: 0,0:00:07.00,0:00:08.00,Default,Ann,0,0,0,,{\p1}m 0 0{\p0}Hello.
Dialogue: 0,0:00:09.00,0:00:10.00,Sign - Door,,0,0,0,,{\pos(1,2)}KEEP OUT
Dialogue: 0,0:00:11.00,0:00:12.00,OP,,0,0,0,,La la
Dialogue: 0,0:00:13.00,0:00:14.00,Default,,0,0,0,,{\k20}la{\k30}la
Dialogue: 0,0:00:15.00,0:00:16.00,Default,,0,0,0,Banner;10,News
Dialogue: 0,100:00:01.00,100:00:02.00,Default,,0,0,0,,Late.
Dialogue: 0,0:00:1x.00,0:00:18.00,Default,,0,0,0,,Broken.
"""


def test_ass() -> None:
    read = subtitles_of("a.ass", ASS)
    told = [(c.number, c.start_ms, c.speaker, c.text, c.why) for c in read.cues]
    assert told == [
        (1, 1000, "", "Well, yes, and no.", ""),
        (3, 3000, "", "", "a comment"),
        (4, 5000, "Ann", "", "a drawing"),
        (5, 7000, "Ann", "Hello.", ""),
        (6, 9000, "", "", "a sign"),
        (7, 11_000, "", "", "sung"),
        (8, 13_000, "", "", "sung"),
        (9, 15_000, "", "", "a sign"),
        (10, 360_001_000, "", "Late.", ""),
        (11, 360_002_000, "", "Broken.", ""),
    ]
    assert (11, "Its times can't be read; it begins where the one before it ends.") in repairs(read)


def test_ass_with_fields_in_another_order() -> None:
    text = "[Events]\nFormat: Start, End, Name, Style, Text\n"
    text += "Dialogue: 0:00:01.00,0:00:02.00,Ann,Default,One, two.\n"
    (cue,) = subtitles_of("a.ass", text).cues
    assert (cue.start_ms, cue.end_ms, cue.speaker, cue.text) == (1000, 2000, "Ann", "One, two.")


def test_ssa_and_styles_that_are_speakers() -> None:
    text = "[Script Info]\n[V4 Styles]\nStyle: Ann\n[Events]\n"
    text += "Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    text += "Dialogue: Marked=0,0:00:01.00,0:00:02.00,Ann,,0,0,0,,One.\n"
    text += "Dialogue: Marked=0,0:00:03.00,0:00:04.00,Bob,,0,0,0,,Two.\n"
    text += "Dialogue: Marked=0,0:00:05.00,0:00:06.00,Default,,0,0,0,,Three.\n"
    read = subtitles_of("a.ssa", text)
    assert read.format == "ssa"
    assert [cue.speaker for cue in read.cues] == ["Ann", "Bob", ""]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("microdvd", "{1}{1}25.000\n{25}{50}{y:i}One.|Two.\n"),
        ("mpl2", "[10][20]/One.|Two.\n"),
        ("tmp", "00:00:01:One.|Two.\n"),
        (
            "sami",
            "<SAMI><BODY><SYNC Start=1000><P Class=EN>One.<br>Two.<SYNC Start=2000><P>&nbsp;"
            "</BODY></SAMI>",
        ),
        (
            "ttml",
            '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="00:00:01.000" '
            'end="00:00:02.000">One.<br/>Two.</p></div></body></tt>',
        ),
    ],
)
def test_other_formats(kind: str, text: str) -> None:
    read = subtitles_of("a", text)
    assert read.format == kind
    cue = next(cue for cue in read.cues if cue.text)
    assert (cue.start_ms, cue.text) == (1000, "One. Two.")


def test_sbv() -> None:
    text = "0:00:01.000,0:00:02.000\nOne,\ntwo.\n\n0:00:03.000,0:00:04.000\nThree.\n"
    assert times(subtitles_of("a.sbv", text)) == [(1000, 2000, "One, two."), (3000, 4000, "Three.")]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "has no subtitles"),
        (b"Dear diary,\n", "has no subtitles"),
        (b"[Events]\n", "has no subtitles in it"),
        (b"{25}{50}One.\n", "can't be read as microdvd"),
        (b'<tt xmlns="http://www.w3.org/ns/ttml"><body>', "can't be read as ttml"),
        (b"PK\x03\x04" + b"\x00" * 100, "neither a subtitle file nor a video"),
    ],
)
def test_what_is_no_subtitle_file_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=what):
        read_subtitles(path)


def test_files_that_are_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nOne.\n\n" * 3)
    monkeypatch.setattr(reading, "MAX_CUES", 2)
    with pytest.raises(UserError, match="has 3 cues, more than 2"):
        read_subtitles(path)
    monkeypatch.setattr(reading, "MAX_BYTES", 20)
    with pytest.raises(UserError, match="larger than any subtitle file"):
        read_subtitles(path)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.srt", ""),
        ("a.en.srt", "en"),
        ("a.pt-BR.srt", "pt-BR"),
        ("a.eng.srt", "en"),
        ("What is.is.srt", ""),
    ],
)
def test_a_name_may_tell_the_language(tmp_path: Path, name: str, language: str) -> None:
    (tmp_path / name).write_text("1\n00:00:01,000 --> 00:00:02,000\nOne.\n")
    assert read_subtitles(tmp_path / name).language == language
    assert read_subtitles(tmp_path / name, language="fr").language == "fr"


def test_subtitles_within_a_video(tmp_path: Path) -> None:
    srt_file, ass_file, video = (tmp_path / name for name in ("a.srt", "b.ass", "c.mkv"))
    srt_file.write_text("1\n00:00:01,000 --> 00:00:02,000\n<i>Un</i> & deux.\n")
    ass_file.write_text(ASS)
    run_ffmpeg(
        [
            *(*input_arguments(srt_file), *input_arguments(ass_file)),
            *("-f", "lavfi", "-i", "sine=duration=3", "-map", "2", "-map", "0", "-map", "1"),
            *("-c:a", "flac", "-c:s:0", "srt", "-c:s:1", "ass"),
            *("-metadata:s:s:0", "language=fre", "-metadata:s:s:1", "language=eng"),
            *("-disposition:s:0", "0", "-disposition:s:1", "default", str(video)),
        ]
    )
    french, own = read_subtitles(video, 1), read_subtitles(video)
    assert (french.language, times(french)) == ("fr", [(1000, 2000, "Un & deux.")])
    assert (own.format, own.language, own.cues[0].text) == ("ass", "en", "Well, yes, and no.")
    assert read_subtitles(video, language="fr").cues == french.cues
    with pytest.raises(UserError, match="no subtitle track 3, but 1 to 2"):
        read_subtitles(video, 3)


def test_a_video_without_subtitles(shared: Path) -> None:
    with pytest.raises(UserError, match="has no subtitles in it"):
        read_subtitles(shared / "subtitles" / "open-dubbing_english.mp4")


@pytest.mark.parametrize(
    ("name", "count", "silent"),
    [
        ("popeye_p1.en.srt", 14, 1),
        ("popeye_p2.en.srt", 16, 5),
        ("elephantsdream.en.vtt", 78, 0),
        ("elephantsdream.ar.vtt", 77, 0),
        ("elephantsdream.ja.vtt", 77, 0),
        ("elephantsdream.ru.vtt", 84, 0),
        ("subtitleedit_test.ass", 3, 0),
        ("subtitleedit_windows-1251.srt", 595, 3),
    ],
)
def test_real_files(shared: Path, name: str, count: int, silent: int) -> None:
    read = read_subtitles(shared / "subtitles" / name)
    assert len({cue.number for cue in read.cues}) == count
    assert sum(not cue.text for cue in read.cues) == silent
    assert all(cue.index == place for place, cue in enumerate(read.cues))


ANYTHING = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            [
                "00:00:01,000 --> 00:00:02,000",
                "00:00:01.500 --> 00:00:01.000",
                "WEBVTT",
                "[Events]",
                "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Hi",
                "Format: Start, Text",
                "{1}{1}25",
                "{25}{50}x",
                "[1][2]x",
                "00:00:01:x",
                "<SAMI><SYNC Start=1>",
                '<tt xmlns="http://www.w3.org/ns/ttml"/>',
                "- BOB: Hi. [laughs]",
                "♪ la",
                "(la) ♪",
                "{\\p1}m 0",
                ">> Yes. >> No.",
                "# la",
                "",
            ]
        ),
    ),
    max_size=15,
)


@given(ANYTHING)
def test_any_text_is_read_or_refused(lines: list[str]) -> None:
    try:
        read = subtitles_of("a", "\n".join(lines))
    except UserError:
        return
    for place, cue in enumerate(read.cues):
        assert cue.index == place
        assert 0 <= cue.start_ms < cue.end_ms or cue.why
        assert bool(cue.text) is not bool(cue.why)
        assert "\n" not in cue.text
    starts = [cue.start_ms for cue in read.cues]
    assert starts == sorted(starts)
