"""The report of a dub as a page to read, with a picture of its subtitles and its speech."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tasks.beside import write_bytes
from tasks.report_html import STYLE

_ROW_MS = 60_000  # of the timeline
_LEFT, _WIDTH = 110, 1000  # of names, and of a row of the timeline
_LANE, _TOP = 24, 16
_CHART = 160
_MOST_ERROR_MS = 200.0  # of the picture of the onsets
_SLOWEST, _FASTEST, _BIN = 0.85, 1.45, 0.05  # of the picture of the rates

_TIMELINE = """
.line { height: auto; } .line text { fill: var(--soft); font-size: 11px; }
.line .cue { fill: var(--wave); opacity: .45; } .line .grid { stroke: var(--line); }
.line .said { fill: var(--good); } .line .told { fill: var(--loud); }
.line .unheard { fill: none; stroke: var(--bad); stroke-width: 2; }
.line .over { fill: var(--bad); } .line .edge { stroke: var(--soft); stroke-dasharray: 4 4; }
""".strip()

_NAMES = {
    "cues_not_heard": "cues that nothing is heard of",
    "overlaps": "unintended overlaps",
    "overlap_ms": "unintended overlap",
    "onset_error_p50_ms": "onset error, half of the cues within",
    "onset_error_p95_ms": "onset error, 95 % of the cues within",
    "early_share": "cues more than 45 ms early",
    "overrun_p95_ms": "speech past its subtitle and its gap, 95 % within",
    "drift_ms_per_hour": "drift of the onsets",
    "unhurried_share": "cues spoken 0.9 to 1.25 times as fast",
    "rate_max": "fastest cue",
    "rate_jump_p95": "change of rate between neighbours, 95 % within",
    "loudness_spread_lu": "loudness of cues around their median, 95 % within",
    "length_error": "length of the track beside that of the video",
    "words_lost": "words that a recogniser missed",
}


def write_dub_page(report: dict[str, Any], out: Path) -> None:
    """Writes the page for a report as `build_dub_report` gives it, at once or not at all."""
    write_bytes(out, dub_page(report).encode(errors="replace"))


def dub_page(report: dict[str, Any]) -> str:
    """The whole page: one file without scripts. Everything that comes from the user is escaped."""
    source, totals = report["source"], report["totals"]
    title = escape(source["video"] or source["subtitles"])
    verdict = "good" if report["passed"] else "bad"
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}: dub report</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{STYLE}\n{_TIMELINE}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>Dubbed by a computer from {escape(source['subtitles'])} "
        f"({escape(source['format'])}, {escape(source['encoding'])}; language "
        f"{escape(source['language'])}), mode “{escape(report['mode'])}”: "
        f"{totals['cues_heard']} of {totals['cues_with_speech']} cues with speech are heard, "
        f"{_clock(1000 * totals['speech_seconds'])} of speech in {_clock(1000 * source['seconds'])}"
        f", {_number(totals['lufs'])} LUFS.</p>",
        f'<p class="{verdict}"><strong>{escape(report["verdict"])}</strong></p>',
        "<h2>Measured on the rendered track</h2>",
        _bars(report["bars"]),
        _notes(totals),
        "<h2>Worth listening to</h2>",
        _problems(report["cues"]),
        _overlaps(report["overlaps"]),
        "<h2>Subtitles and speech</h2>",
        '<p class="soft">A minute a row. Broad: a subtitle is shown. Narrow: its speech is heard; '
        "orange where it did not fit, a red frame where nothing is heard, red below where speakers "
        "overlap against their subtitles.</p>",
        *_timeline(report["cues"], report["overlaps"]),
        "<h2>Onsets and rates</h2>",
        _onsets(report["cues"], source["seconds"]),
        _rates(report["cues"]),
        "<h2>Speakers</h2>",
        _speakers(report["cues"], report["voices"]),
        "<h2>Files</h2>",
        _files(report["files"]),
        "<h2>Repairs</h2>",
        _table(
            ("cue", "line", "what was mended"),
            ((one["number"] or "", one["line"] or "", one["what"]) for one in report["repairs"]),
            "Nothing had to be mended.",
        ),
        "<h2>Not spoken</h2>",
        _table(
            ("cue", "at", "shown", "why"),
            (
                (one["number"], _clock(one["start_ms"]), one["shown"], one["why"])
                for one in report["skipped"]
            ),
            "Everything is spoken.",
        ),
    ]
    if report["warnings"]:
        items = "".join(f"<li>{escape(line)}</li>" for line in report["warnings"])
        parts.append(f"<h2>Warnings</h2><ul>{items}</ul>")
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> str:
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    if not body:
        return f"<p>{escape(empty)}</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _bars(bars: Sequence[dict[str, Any]]) -> str:
    rows = []
    for bar in bars:
        name = escape(_NAMES.get(bar["name"], bar["name"]))
        good = "good" if bar["passed"] else "bad"
        said = "excellent" if bar["excellent"] else "pass" if bar["passed"] else "fail ✗"
        value = "nothing to measure" if bar["value"] is None else _number(bar["value"])
        unit = "" if bar["value"] is None else f" {escape(bar['unit'])}"
        rows.append(
            f'<tr><td>{name}</td><td class="{good}">{value}{unit}</td>'
            f'<td>{escape(bar["wanted"])}</td><td class="{good}">{said}</td></tr>'
        )
    return (
        '<div class="scroll"><table><tr><th></th><th>measured</th><th>wanted</th><th></th></tr>'
        f"{''.join(rows)}</table></div>"
    )


def _notes(totals: dict[str, Any]) -> str:
    notes = []
    if totals["drift_interval"]:
        low, high = map(_number, totals["drift_interval"])
        notes.append(f"The drift lies between {low} and {high} ms/h with a certainty of 95 %.")
    if totals["iou"] is not None:
        notes.append(
            f"Of the time with speech or a subtitle, {100 * totals['iou']:.0f} % has both; "
            f"{100 * totals['alike_share']:.0f} % of the cues are heard as long as they are shown, "
            "within 20 %."
            if totals["alike_share"] is not None
            else f"Of the time with speech or a subtitle, {100 * totals['iou']:.0f} % has both."
        )
    return f'<p class="soft">{" ".join(notes)}</p>' if notes else ""


def _problems(cues: Sequence[dict[str, Any]]) -> str:
    return _table(
        ("cue", "at", "speaker", "text", "what"),
        (
            (cue["number"], _clock(cue["wanted_ms"]), cue["speaker"], cue["text"], cue["problem"])
            for cue in cues
            if cue["problem"]
        ),
        "Every line fits.",
    )


def _overlaps(overlaps: Sequence[Sequence[float]]) -> str:
    if not overlaps:
        return ""
    places = ", ".join(f"{_clock(start)} ({end - start:.0f} ms)" for start, end in overlaps)
    return f'<p class="bad">Speakers overlap at {places}.</p>'


def _timeline(cues: Sequence[dict[str, Any]], overlaps: Sequence[Sequence[float]]) -> Iterable[str]:
    """A picture for each minute with something in it."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for cue in cues:
        last = max(cue["shown_until_ms"], cue["end_ms"] or 0.0)
        for row in range(int(cue["wanted_ms"] // _ROW_MS), int(last // _ROW_MS) + 1):
            rows.setdefault(row, []).append(cue)
    speakers = list(dict.fromkeys(cue["speaker"] for cue in cues))
    for row, members in sorted(rows.items()):
        members.sort(key=lambda cue: speakers.index(cue["speaker"]))
        yield _row(row * _ROW_MS, members, overlaps)


def _row(start: float, cues: Sequence[dict[str, Any]], overlaps: Sequence[Sequence[float]]) -> str:
    lanes = {name: lane for lane, name in enumerate(dict.fromkeys(cue["speaker"] for cue in cues))}
    height = _TOP + len(lanes) * _LANE + 4
    marks = []
    for second in range(0, 61, 10):
        x = _x(start + 1000 * second, start)
        marks.append(f'<path class="grid" d="M{x:.1f} {_TOP - 2}V{height}"/>')
        if second < 60:
            marks.append(f'<text x="{x + 2:.1f}" y="11">{_clock(start + 1000 * second)}</text>')
    for name, lane in lanes.items():
        y = _TOP + lane * _LANE + 15
        marks.append(f'<text x="0" y="{y}">{escape(_short(name or "(nobody named)"))}</text>')
    for cue in cues:
        y = _TOP + lanes[cue["speaker"]] * _LANE
        box = _box(cue["wanted_ms"], cue["shown_until_ms"], start, y, _LANE - 4)
        marks.append(f'<rect class="cue" {box}/>')
        if cue["onset_ms"] is None:
            marks.append(f'<rect class="unheard" {box}><title>{_told(cue)}</title></rect>')
        else:
            said = _box(cue["onset_ms"], cue["end_ms"], start, y + 6, _LANE - 16)
            kind = "told" if cue["problem"] else "said"
            marks.append(f'<rect class="{kind}" {said}><title>{_told(cue)}</title></rect>')
    for first, last in overlaps:
        if first < start + _ROW_MS and last > start:
            marks.append(f'<rect class="over" {_box(first, last, start, height - 4, 4)}/>')
    return (
        f'<svg class="line" viewBox="0 0 {_LEFT + _WIDTH} {height}" role="img" '
        f'aria-label="Subtitles and speech from {_clock(start)} on">{"".join(marks)}</svg>'
    )


def _told(cue: dict[str, Any]) -> str:
    error = "nothing heard" if cue["error_ms"] is None else f"onset {cue['error_ms']:+.0f} ms"
    problem = f"; {cue['problem']}" if cue["problem"] else ""
    return escape(f"{cue['number']}: {cue['text']} ({error}, rate {cue['rate']:.2f}{problem})")


def _box(first: float, last: float, start: float, y: float, height: float) -> str:
    left, right = _x(first, start), _x(last, start)
    return f'x="{left:.1f}" y="{y}" width="{max(1.0, right - left):.1f}" height="{height}"'


def _x(at: float, start: float) -> float:
    return _LEFT + _WIDTH * min(1.0, max(0.0, (at - start) / _ROW_MS))


def _onsets(cues: Sequence[dict[str, Any]], seconds: float) -> str:
    """The error of each onset over time; what is beyond the picture lies at its edge."""
    heard = [cue for cue in cues if cue["error_ms"] is not None]
    if not heard:
        return ""
    longest = max(1000.0 * seconds, *(cue["wanted_ms"] for cue in heard))
    marks = []
    for error in (-60, -15, 0, 15, 60):
        y = _height_of(error)
        marks.append(f'<path class="edge" d="M{_LEFT} {y:.1f}h{_WIDTH}"/>')
        marks.append(f'<text x="40" y="{y + 4:.1f}">{error:+d} ms</text>' if error else "")
    for cue in heard:
        x = _LEFT + _WIDTH * cue["wanted_ms"] / longest
        kind = "told" if cue["problem"] else "said"
        y = _height_of(cue["error_ms"])
        marks.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{_told(cue)}</title>'
            "</circle>"
        )
    return (
        "<figure><figcaption>Onset error of each cue over the video; below is late</figcaption>"
        f'<svg class="line" viewBox="0 0 {_LEFT + _WIDTH} {_CHART}" role="img" '
        f'aria-label="Onset errors over time">{"".join(marks)}</svg></figure>'
    )


def _height_of(error: float) -> float:
    """Roots spread the small errors, which are the many."""
    share = min(1.0, abs(error) / _MOST_ERROR_MS) ** 0.5
    return _CHART / 2 + (_CHART / 2 - 6) * (share if error > 0 else -share)


def _rates(cues: Sequence[dict[str, Any]]) -> str:
    """How many cues are spoken how fast."""
    bins = round((_FASTEST - _SLOWEST) / _BIN)
    counts = [0] * bins
    for cue in cues:
        number = math.ceil((cue["rate"] - _SLOWEST) / _BIN - 1e-6) - 1
        counts[min(bins - 1, max(0, number))] += 1
    width, marks = _WIDTH / bins, []
    for number, count in enumerate(counts):
        height = (_CHART - 40) * count / max(1, *counts)
        x, low = _LEFT + number * width, _SLOWEST + number * _BIN
        high = low + _BIN
        kind = "said" if low > 0.9 - 1e-6 and high < 1.25 + 1e-6 else "told"
        marks.append(
            f'<rect class="{kind}" x="{x + 2:.1f}" y="{_CHART - 20 - height:.1f}" '
            f'width="{width - 4:.1f}" height="{height:.1f}"/>'
            f'<text x="{x + 2:.1f}" y="{_CHART - 6}">to {high:.2f}</text>'
        )
        if count:
            marks.append(f'<text x="{x + 4:.1f}" y="{_CHART - 24 - height:.1f}">{count}</text>')
    return (
        "<figure><figcaption>How many times as fast as the voice by itself cues are spoken; orange "
        "is outside 0.9 to 1.25</figcaption>"
        f'<svg class="line" viewBox="0 0 {_LEFT + _WIDTH} {_CHART}" role="img" '
        f'aria-label="Rates of cues">{"".join(marks)}</svg></figure>'
    )


def _speakers(cues: Sequence[dict[str, Any]], voices: dict[str, dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for cue in cues:
        counts[cue["speaker"]] = counts.get(cue["speaker"], 0) + 1
    default = voices.get("", {}).get("name", "")
    return _table(
        ("speaker", "voice", "cues"),
        (
            (name or "(nobody named)", voices.get(name, {}).get("name", default), count)
            for name, count in counts.items()
        ),
        "Nobody speaks.",
    )


def _files(files: Sequence[dict[str, Any]]) -> str:
    def sound(value: float | None) -> str:
        return "" if value is None else _number(value)

    return _table(
        ("file", "what", "length", "LUFS", "true peak, dBTP"),
        (
            (
                file["path"],
                file["what"],
                _clock(1000 * file["seconds"]),
                sound(file["lufs"]),
                sound(file["true_peak_db"]),
            )
            for file in files
        ),
        "None.",
    )


def _number(value: float | None) -> str:
    """A number as the report has it; None is the level of silence."""
    return "-∞" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"


def _clock(milliseconds: float) -> str:
    minutes, rest = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
