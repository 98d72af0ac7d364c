"""The scanner of SRT: everything that has times is read, whatever state the file is in."""

import time

import pysrt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.subtitle_scan import scan_cues, scan_srt

WELL = "1\n00:00:01,000 --> 00:00:02,000\nOne.\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo.\n"


def scanned(text: str) -> list[tuple[int, int, str]]:
    return [(cue.start_ms, cue.end_ms, cue.text) for cue in scan_cues(text)[0]]


BOTH = [(1000, 2000, "One."), (3000, 4000, "Two.")]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\r\r\n"])
def test_a_well_formed_file_needs_no_repair(ending: str) -> None:
    cues, repairs = scan_cues(WELL.replace("\n", ending))
    assert [(cue.start_ms, cue.end_ms, cue.text) for cue in cues] == BOTH
    assert repairs == [] or ending == "\r\r\n"


@pytest.mark.parametrize(
    "times",
    [
        "00:00:01.000 --> 00:00:02.000",
        "00:00:01 --> 00:00:02",
        "0:0:1,0 --> 0:0:2,0",
        "00:01,000 --> 00:02,000",
        "00:00:01,000-->00:00:02,000",
        "00:00:01,000 -> 00:00:02,000",
        "00:00:01,000 - -> 00:00:02,000",
        "00:00:01,000 → 00:00:02,000",
        "00:00:01,000 —> 00:00:02,000",
        "00:00:01,000 - 00:00:02,000",
        "00:00:01.000,00:00:02.000",
        "00 : 00 : 01 , 000 --> 00: 00: 02, 000",
        "００：００：０１，０００ --> ００：００：０２，０００",
        "00：00：01，000 －－＞ 00：00：02，000",
        "٠٠:٠٠:٠١,٠٠٠ --> ٠٠:٠٠:٠٢,٠٠٠",
        "  00:00:01,000 --> 00:00:02,000  ",
        "\u200e00:00:01,000 --> 00:00:02,000",
        "00:00:01,000 --> 00:00:02,000 X1:100 X2:200 Y1:10 Y2:20",
        "00:00:01.000 --> 00:00:02.000 align:start position:0%",
        "00:00:01:00 --> 00:00:02:00",
        "1 00:00:01,000 --> 00:00:02,000",
    ],
)
def test_times_are_read_in_many_spellings(times: str) -> None:
    assert (
        scanned(f"1\n{times}\nOne.\n\n{WELL[WELL.index('2') :].partition('One.')[2].lstrip()}")
        == BOTH
    )


@pytest.mark.parametrize(
    ("fraction", "ms"),
    [(",5", 500), (",50", 500), (",050", 50), (",0505", 50), (":12", 480), ("", 0)],
)
def test_fractions_are_decimal(fraction: str, ms: int) -> None:
    assert scanned(f"1\n00:00:01{fraction} --> 00:00:09,000\nOne.")[0][0] == 1000 + ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The cue's number is missing, or has a name beside it.
        (WELL.replace("1\n", "", 1).replace("2\n00:00:03", "00:00:03"), BOTH),
        (WELL.replace("1\n", "1 - BOB\n", 1), BOTH),
        # No blank line between cues.
        (WELL.replace("\n\n", "\n"), BOTH),
        (WELL.replace("One.\n\n", "1984\n"), [(1000, 2000, "1984"), BOTH[1]]),
        # Blank lines where there should be none.
        (WELL.replace("One.", "One.\n\nMore."), [(1000, 2000, "One.\nMore."), BOTH[1]]),
        (WELL.replace("\n", "\n\n"), BOTH),
        (WELL.replace("One.", ""), [(1000, 2000, ""), BOTH[1]]),
        (WELL.replace("One.\n", "\n\n\n"), [(1000, 2000, ""), BOTH[1]]),
        # Text that is digits.
        (WELL.replace("One.", "1984"), [(1000, 2000, "1984"), BOTH[1]]),
        (
            "00:00:01,000 --> 00:00:02,000\n1984\n\n00:00:03,000 --> 00:00:04,000\nTwo.\n",
            [(1000, 2000, "1984"), BOTH[1]],
        ),
        # Numbers that start at 0, or at 1 again.
        (WELL.replace("1\n", "0\n", 1).replace("2\n00", "1\n00"), BOTH),
        (WELL.replace("2\n00", "1\n00"), BOTH),
        # Text beside the times, junk before them, times of the day in a text.
        (WELL.replace("2,000\nOne.", "2,000 One."), BOTH),
        (f"Made by me\n\n{WELL}", BOTH),
        (
            WELL.replace("One.", "From 10:00 -> 11:00."),
            [(1000, 2000, "From 10:00 -> 11:00."), BOTH[1]],
        ),
        (WELL.replace("One.", "A --> B"), [(1000, 2000, "A --> B"), BOTH[1]]),
        # Odd times.
        (WELL.replace("00:00:01", "100:00:01"), [(360_001_000, 2000, "One."), BOTH[1]]),
        (WELL.replace("00:00:01", "-00:00:01"), [(0, 2000, "One."), BOTH[1]]),
        (WELL.replace("--> 00:00:02,000", "--> 00:0x"), [(1000, 1000, "One."), BOTH[1]]),
        (
            WELL.replace("00:00:03,000 --> 00:00:04,000", "--:-- --> --:--"),
            [BOTH[0], (2000, 2000, "Two.")],
        ),
        (WELL.replace("00:00:01", "00:00:61"), [(61_000, 2000, "One."), BOTH[1]]),
    ],
)
def test_what_others_lose_is_kept(text: str, expected: list[tuple[int, int, str]]) -> None:
    assert scanned(text) == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (WELL.replace("\n\n", "\n"), "No blank line parts it from the next cue."),
        (WELL.replace("One.", "One.\n\nMore."), "A blank line stood within its text."),
        (WELL.replace("2,000\nOne.", "2,000 One."), "Its text stood beside its times."),
        (f"Made by me\n\n{WELL}", "What is before the first cue was left out: 'Made by me'."),
        (WELL.replace("00:00:01", "-00:00:01"), "It began before the film; now it begins with it."),
        (WELL.replace("--> 00:00:02,000", "--> 00:0x"), "Its end can't be read."),
        (WELL.replace("2\n00:00:03", "00:00:03"), "It has no number."),
        (
            WELL.replace("1\n", "", 1).replace("2\n00:00:03", "00:00:03"),
            "The cues have no numbers.",
        ),
        (
            WELL.replace("00:00:03,000 --> 00:00:04,000", "--:-- --> --:--"),
            "Its times can't be read; it begins where the one before it ends.",
        ),
        (
            WELL.replace("00:00:01", "00:00:61"),
            "Its times are written oddly.",
        ),
    ],
)
def test_what_is_mended_is_told(text: str, what: str) -> None:
    assert what in [repair.what for repair in scan_cues(text)[1]]


def test_a_repair_says_where() -> None:
    _, (repair,) = scan_cues(WELL.replace("04,000", "04"))
    assert (repair.number, repair.line) == (2, 6)
    assert repair.what == "Its times are written oddly."


def test_the_document_is_pysrts() -> None:
    document, lines, repairs = scan_srt(WELL.replace("1\n", "1 - BOB\n", 1))
    assert isinstance(document, pysrt.SubRipFile)
    assert [item.index for item in document] == ["BOB", 2]
    assert lines == [2, 6]
    assert not repairs


CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029")
LINE = st.text(CHARACTERS, min_size=1, max_size=30).map(lambda text: f"x{text}".strip())
TIMES = st.tuples(st.integers(0, 3_600_000), st.integers(0, 10_000))


def clock(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


@given(st.lists(st.tuples(TIMES, st.lists(LINE, min_size=1, max_size=3)), min_size=1, max_size=8))
def test_it_reads_what_pysrt_reads(cues: list[tuple[tuple[int, int], list[str]]]) -> None:
    text = "".join(
        f"{number}\n{clock(start)} --> {clock(start + length)}\n{chr(10).join(lines)}\n\n"
        for number, ((start, length), lines) in enumerate(cues, start=1)
    )
    theirs = [(item.start.ordinal, item.end.ordinal, item.text) for item in pysrt.from_string(text)]
    ours, repairs = scan_cues(text)
    expected = [(start, start + length) for (start, length), _ in cues]
    assert [(cue.start_ms, cue.end_ms) for cue in ours] == expected
    assert len(theirs) == len(ours)
    assert not repairs


@given(
    st.lists(
        st.one_of(
            LINE,
            st.just(""),
            st.integers(0, 99).map(str),
            st.tuples(TIMES, st.sampled_from([" --> ", "->", " --> -"])).map(
                lambda one: clock(one[0][0]) + one[1] + clock(sum(one[0]))
            ),
            st.text("0123456789:,.->– \t", max_size=30),
        ),
        max_size=30,
    )
)
def test_no_word_is_lost_and_none_is_made(lines: list[str]) -> None:
    cues, repairs = scan_cues("\n".join(lines))
    words = [line for cue in cues for line in cue.text.split("\n") if line.startswith("x")]
    first = cues[0].line - 1 if cues else len(lines)
    kept = [line for line in lines[first:] if line.startswith("x")]
    assert len(words) == len(kept)
    assert all(cue.start_ms >= 0 and cue.end_ms >= 0 for cue in cues)
    assert all(repair.what for repair in repairs)


@pytest.mark.parametrize(
    "hostile",
    [
        " " * 200_000 + "-->",
        "0" * 200_000,
        "0:" * 100_000,
        "00:00:01,000" + " " * 200_000 + "--> 00:00:02,000",
        "1 - " + "a" * 200_000,
        "\n" * 200_000 + "00:00:01,000 --> 00:00:02,000",
        "00:00:01,000 --> 00:00:02,000\n" * 20_000,
        "-" * 200_000 + ">",
        "1\n\n" * 100_000,
    ],
)
def test_it_takes_linear_time(hostile: str) -> None:
    begin = time.monotonic()
    scan_cues(hostile)
    assert time.monotonic() - begin < 5
