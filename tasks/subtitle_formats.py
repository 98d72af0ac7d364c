"""Subtitle formats: SRT by the scanner and pysrt, WebVTT by webvtt-py, others by pysubs2."""

import re
import warnings
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

import pysubs2
import webvtt
from pysubs2.exceptions import Pysubs2Error
from webvtt.errors import MalformedCaptionError, MalformedFileError

from configs.errors import UserError
from tasks.dub_types import Repair
from tasks.subtitle_markup import ass_text, draws
from tasks.subtitle_scan import INVISIBLE, scan_cues, scan_srt

LONGEST_EVENT = 10_000
_VTT = re.compile(r"\s*WEBVTT(?:[ \t].*)?$", re.M)
_VTT_LANGUAGE = re.compile(r"^Language:[ \t]*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)[ \t]*$", re.M)
# A file that has these and times with points is WebVTT, even without its first line.
_VTT_PARTS = re.compile(r"^(?:STYLE|REGION|NOTE)[ \t]*$|^NOTE[ \t]|^::cue", re.M)
_SRT_TIMING = re.compile(r"\d,\d{1,3}[ \t]*-->|\A(?:(?!-->).)*\Z", re.S)
_VTT_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t].*)?$")
_ASS = re.compile(
    r"^\s*\[(?:Script Info|V4\+? Styles|Events)\]|^Dialogue:[ \t]*(?:\d|Marked)", re.M | re.I
)
_ASS_TIME = re.compile(r"\s*(-?)\s*(\d{1,9}):(\d{1,2}):(\d{1,2})(?:[.,:](\d{1,9}))?\s*$")
_SAMI = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<SAMI\b", re.I)
_TTML = re.compile(r"http://www\.w3\.org/(?:ns/ttml|200[46]/)|<(?:tt:)?tt[\s>]")
_MICRODVD = re.compile(r"^\s*\{\d+\}\{\d+\}", re.M)
_MPL2 = re.compile(r"^\s*\[\d+\]\s*\[\d+\]", re.M)
_TMP = re.compile(r"^\s*\d{1,2}:\d\d:\d\d[:=]", re.M)
_TIMING = re.compile(
    r"\d\s*-->\s*-?\d|^\s*\d{1,2}:\d\d:\d\d\.\d{3},\d{1,2}:\d\d:\d\d\.\d{3}\s*$", re.M
)
_HEAD = 20_000

_ASS_FIELDS = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
_SSA_FIELDS = "Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"


@dataclass(frozen=True)
class RawCue:
    """A cue as its file has it: `text` with the markup of SRT and WebVTT, its lines split by "\\n".

    `style` is an ASS event's; `voices` are speakers and what they say, where its markup tells of
    several; `why` says why it can't be speech, whatever its text.
    """

    number: int
    line: int
    start_ms: int
    end_ms: int
    text: str
    speaker: str = ""
    style: str = ""
    voices: tuple[tuple[str, str], ...] = ()
    why: str = ""


def format_of(text: str) -> str:
    """The format of a subtitle file by its content: "srt", "vtt", "ass", "ssa", "sami", "ttml",
    "microdvd", "mpl2", "tmp"; "" for what is none."""
    head = text[:_HEAD]
    if _VTT.match(head) or (_VTT_PARTS.search(head) and not _SRT_TIMING.search(head)):
        return "vtt"
    if _SAMI.match(head):
        return "sami"
    if _TTML.search(head):
        return "ttml"
    if _ASS.search(head):
        return (
            "ssa" if re.search(r"\[V4 Styles\]|^Dialogue:\s*Marked", head, re.M | re.I) else "ass"
        )
    for name, pattern in (("microdvd", _MICRODVD), ("mpl2", _MPL2), ("tmp", _TMP)):
        if len(pattern.findall(head)) > len(_TIMING.findall(head)):
            return name
    return "srt" if scan_cues(text)[0] else ""


def read_srt(text: str) -> tuple[list[RawCue], list[Repair]]:
    """The cues of SRT, whatever state it is in, and what was mended."""
    document, lines, repairs = scan_srt(text)
    cues = [
        RawCue(
            number,
            line,
            item.start.ordinal,
            item.end.ordinal,
            item.text,
            speaker=item.index if isinstance(item.index, str) else "",
        )
        for number, (item, line) in enumerate(zip(document, lines, strict=True), start=1)
    ]
    return cues, repairs


def read_vtt(text: str) -> tuple[list[RawCue], list[Repair], str]:
    """The cues of WebVTT, what was mended, and the language that its header tells ("" for none)."""
    text = INVISIBLE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").lstrip()
    language = _VTT_LANGUAGE.search(text.partition("\n\n")[0])
    told = language[1] if language else ""
    lines = _without_notes(text.split("\n"))
    # The scanner takes identifiers for text, so they must go before it counts as the file's reader.
    above = {cue.line - 2 for cue in scan_cues("\n".join(lines))[0] if cue.line > 1}
    for place in above:
        if not place or not lines[place - 1].strip():
            lines[place] = ""
    scanned, repairs = scan_cues("\n".join(lines))
    try:
        captions = webvtt.from_string(text).captions
    except (MalformedFileError, MalformedCaptionError):
        captions = []
    starts = [caption.start_time.in_milliseconds() for caption in captions]
    if starts == [cue.start_ms for cue in scanned] and "-->" not in "".join(
        cue.text for cue in scanned
    ):
        cues = [
            RawCue(number, cue.line, start, caption.end_time.in_milliseconds(), caption.raw_text)
            for number, (start, caption, cue) in enumerate(
                zip(starts, captions, scanned, strict=True), start=1
            )
        ]
        return cues, [], told
    # webvtt-py drops what it can't read.
    found = [
        RawCue(number, cue.line, cue.start_ms, cue.end_ms, cue.text)
        for number, cue in enumerate(scanned, start=1)
    ]
    odd = Repair(0, 1, "It is not well-formed WebVTT; every timing line was read on its own.")
    numbers = "The cues have no numbers."
    return found, [odd, *(one for one in repairs if one.what != numbers)], told


def read_ass(text: str, name: str) -> tuple[list[RawCue], list[Repair]]:
    """The events of ASS or SSA (`name`: "ass" or "ssa"), and what was mended."""
    events, repairs = _clean_events(text, name)
    fields = _ASS_FIELDS if name == "ass" else _SSA_FIELDS
    rows = [f"{kind}: {row}" for _, kind, _, _, row in events]
    clean = "\n".join(["[Script Info]", "", "[Events]", f"Format: {fields}", *rows])
    document = pysubs2.SSAFile.from_string(clean, format_=name)
    cues = []
    for number, (event, (line, _, start, end, _)) in enumerate(
        zip(document, events, strict=True), start=1
    ):
        shown = ass_text(event.text)
        why = ""
        if event.is_comment:
            why = "a comment"
        elif draws(event.text) and not shown.strip():
            why = "a drawing"
        elif re.search(r"banner|scroll|karaoke|\bfx\b", event.effect, re.I):
            why = "a sign"
        elif re.search(r"\{[^{}]*\\[kK][of]?\d", event.text):
            why = "sung"
        if start < 0 or end < 0:
            start, end = max(0, start), max(0, end)
            repairs.append(Repair(number, line, _BEFORE))
        cues.append(
            RawCue(
                number, line, start, end, shown, event.name.strip(), event.style.strip(), why=why
            )
        )
    return cues, repairs


_BEFORE = "It began before the film; now it begins with it."


def _clean_events(
    text: str, name: str
) -> tuple[list[tuple[int, str, int, int, str]], list[Repair]]:
    """Line, kind, start and end in ms, and the fields of each event in the order that pysubs2
    expects, with times that it can read."""
    wanted = [
        one.strip().lower() for one in (_ASS_FIELDS if name == "ass" else _SSA_FIELDS).split(",")
    ]
    order = wanted
    found: list[tuple[int, str, int, int, str]] = []
    repairs: list[Repair] = []
    section = "[events]" if "[events]" not in text.lower() else ""
    for line, row in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        row = INVISIBLE.sub("", row).strip()
        kind, colon, rest = row.partition(":")
        if re.fullmatch(r"\[[^\[\]]{1,40}\]", row):
            section = row.lower()
        elif section == "[events]" and kind == "Format":
            order = [one.strip().lower() for one in rest.split(",")]
            if not {"start", "end", "text"} <= set(order) or order[-1] != "text":
                repairs.append(Repair(0, line, "Its list of fields can't be used."))
                order = wanted
        elif section == "[events]" and colon and kind in {"Dialogue", "Comment"}:
            values = [one.strip() for one in rest.split(",", len(order) - 1)]
            told = dict(zip(order, values, strict=False))
            times = _ass_ms(told.get("start", "")), _ass_ms(told.get("end", ""))
            number = len(found) + 1
            begin, end = times
            if "text" not in told:
                repairs.append(
                    Repair(0, line, f"A line without a text was left out: {row[:60]!r}.")
                )
                continue
            if begin is None:
                begin = found[-1][3] if found else 0
                what = "Its times can't be read; it begins where the one before it ends."
                repairs.append(Repair(number, line, what))
            elif end is None:
                repairs.append(Repair(number, line, "Its end can't be read."))
            fields = ["0" if "margin" in one else told.get(one, "") for one in wanted[3:-1]]
            safe = ",".join(["0", "0:00:00.00", "0:00:00.00", *fields, told["text"]])
            found.append((line, kind, begin, begin if end is None else end, safe))
    return found, repairs


def _ass_ms(text: str) -> int | None:
    match = _ASS_TIME.match(text)
    if not match:
        return None
    hours, minutes, seconds = int(match[2]), int(match[3]), int(match[4])
    time = ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((match[5] or "")[:3].ljust(3, "0"))
    return -time if match[1] else time


def read_other(name: str, text: str, kind: str) -> tuple[list[RawCue], list[Repair]]:
    """The cues of a format that only pysubs2 knows. Raises UserError where it can't be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = pysubs2.SSAFile.from_string(text, format_=kind)
    except (
        Pysubs2Error,
        ParseError,
        NotImplementedError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        raise UserError(
            f"{name} can't be read as {kind} ({error}); convert it to SRT, for example with "
            "SubtitleEdit."
        ) from error
    cues = [
        RawCue(number, 0, max(0, event.start), max(0, event.end), ass_text(event.text))
        for number, event in enumerate(document, start=1)
    ]
    return cues, []


def _without_notes(lines: list[str]) -> list[str]:
    """WebVTT's lines with those of comments, styles and regions empty."""
    kept: list[str] = []
    inside = False
    for above, line in zip(["", *lines], lines, strict=False):
        if not above.strip() and _VTT_BLOCK.match(line):
            inside = True
        elif not line:
            inside = False
        kept.append("" if inside or (not kept and line.startswith("WEBVTT")) else line)
    return kept
