"""The report as a page to read: one file, without scripts and without anything from the network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tasks.beside import write_bytes
from tasks.measure import SHAPE_SECONDS, Shape

_WIDTH, _HEIGHT = 600, 72
_COLUMNS = 300  # at most, of a picture
_LOUDEST, _SOFTEST = -8.0, -44.0  # LUFS at the top and bottom of a picture

STYLE = """
:root { color-scheme: light dark; --text: #1d1f23; --soft: #5d6470; --line: #d9dce2;
  --paper: #fff; --wave: #9db7d5; --loud: #b3541e; --good: #1f7a3d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e7e9ee; --soft: #a2a9b6; --line: #3a3f49;
  --paper: #16181d; --wave: #46698f; --loud: #e59a63; --good: #6fcf8e; --bad: #ff8a80; } }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: var(--text);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.soft, figcaption { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.scroll { overflow-x: auto; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
figure { margin: 1rem 0; } svg { width: 100%; height: 4.5rem; display: block; }
svg .wave { fill: var(--wave); } svg .loud { fill: none; stroke: var(--loud); stroke-width: 1.5; }
svg .target { stroke: var(--soft); stroke-dasharray: 4 4; }
""".strip()

_NAMES = {
    "rms_db": "RMS, dB",
    "integrated_lufs": "loudness, LUFS",
    "true_peak_dbtp": "true peak, dBTP",
    "sample_peak_db": "sample peak, dB",
    "noise_floor_db": "noise floor, dB",
    "head_seconds": "room before, s",
    "tail_seconds": "room after, s",
    "seconds": "length, s",
    "channels": "channels",
    "constant_rate": "constant bit rate",
    "kbits": "bit rate, kb/s",
    "sample_rate": "sample rate, Hz",
}


@dataclass(frozen=True)
class Picture:
    """What a chapter or a file looks like."""

    title: str
    shape: Shape


def write_page(report: dict[str, Any], pictures: Sequence[Picture], out: Path) -> None:
    """Writes the page for a report as `plain` gives it, at once or not at all."""
    write_bytes(out, page(report, pictures).encode(errors="replace"))


def page(report: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """The whole page. Everything that comes from the book is escaped."""
    book, totals, mastering = report["book"], report["totals"], report["mastering"]
    title = escape(book["title"])
    authors = f" by {escape(', '.join(book['authors']))}" if book["authors"] else ""
    target = mastering["target_lufs"]
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}: report</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>{title}{authors}, read by a computer in the voice “{escape(report['voice']['name'])}” "
        f"with the model {escape(report['model']['name'])}: {totals['chapters']} chapters, "
        f"{totals['utterances']} utterances, {_clock(totals['seconds'])}.</p>",
        f"<p><strong>{escape(report['verdict'])}</strong></p>",
        f'<p class="soft">Mastering “{escape(mastering["preset"])}”: '
        + ("level as spoken" if target is None else f"{target:g} LUFS")
        + f"; the book measured {_number(mastering['before_lufs'])} LUFS and got a gain of "
        f"{_number(mastering['gain_db'])} dB.</p>",
        "<h2>Worth listening to</h2>",
        _suspects(report["incomplete_takes"]),
        "<h2>Audio files</h2>",
        *_file_tables(report["files"]),
        "<h2>Chapters</h2>",
        _chapters(report["chapters"], mastering["trims_db"]),
        "<h2>Pictures</h2>",
        '<p class="soft">Peaks of the delivered sound, and its short-term loudness from '
        f"{_SOFTEST:g} to {_LOUDEST:g} LUFS as a line; the dashes are the target.</p>",
        *(_figure(picture, target) for picture in pictures),
        *_warnings(report["warnings"]),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _file_tables(files: Sequence[dict[str, Any]]) -> Iterable[str]:
    """One table for each format, since the rules differ."""
    if not files:
        yield "<p>None.</p>"
    for kind, group in groupby(files, key=lambda file: file["format"]):
        members = list(group)
        rules = [(rule["name"], rule["wanted"]) for rule in members[0]["verdicts"]]
        heads = "".join(
            f'<th>{escape(_NAMES.get(name, name))}<br><span class="soft">{escape(wanted)}</span>'
            "</th>"
            for name, wanted in rules
        )
        rows = []
        for file in members:
            cells = "".join(
                f'<td class="{"good" if rule["passed"] else "bad"}">{_shown(rule)}'
                f"{'' if rule['passed'] else ' ✗'}</td>"
                for rule in file["verdicts"]
            )
            verdict = (
                '<td class="good">pass</td>' if file["passed"] else '<td class="bad">fail</td>'
            )
            length = _clock(file["measured"]["seconds"])
            rows.append(
                f"<tr><td>{escape(file['path'])}</td><td>{length}</td>{cells}{verdict}</tr>"
            )
        yield (
            f'<h3>{escape(kind)}</h3><div class="scroll"><table><tr><th>file</th><th>length</th>'
            f"{heads}<th>verdict</th></tr>{''.join(rows)}</table></div>"
        )


def _chapters(chapters: Sequence[dict[str, Any]], trims: Sequence[float]) -> str:
    rows, start = [], 0.0
    for number, chapter in enumerate(chapters):
        trim = _number(trims[number]) if number < len(trims) else ""
        rows.append(
            f"<tr><td>{_clock(start)}</td><td>{escape(chapter['title'])}</td>"
            f"<td>{_clock(chapter['seconds'])}</td><td>{chapter['utterances']}</td>"
            f"<td>{trim}</td></tr>"
        )
        start += chapter["seconds"]
    return (
        '<div class="scroll"><table><tr><th>at</th><th>title</th><th>length</th>'
        f"<th>utterances</th><th>trim, dB</th></tr>{''.join(rows)}</table></div>"
    )


def _suspects(takes: Sequence[dict[str, Any]]) -> str:
    if not takes:
        return "<p>No utterance is suspect.</p>"
    rows = "".join(
        f"<tr><td>{_clock(take['start_seconds'])}</td>"
        f"<td>{take['chapter'] + 1}, {take['index'] + 1}</td><td>{escape(take['text'])}</td>"
        f"<td>{escape(take['reason'])}</td></tr>"
        for take in takes
    )
    return (
        '<div class="scroll"><table><tr><th>at</th><th>chapter, utterance</th><th>text</th>'
        f"<th>why</th></tr>{rows}</table></div>"
    )


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return [
        "<h2>Warnings</h2>",
        "<ul>",
        *(f"<li>{escape(line)}</li>" for line in warnings),
        "</ul>",
    ]


def _figure(picture: Picture, target: float | None) -> str:
    shape = picture.shape
    seconds = len(shape.peaks) * SHAPE_SECONDS
    title = escape(picture.title)
    middle = _HEIGHT / 2
    wave = "".join(
        f"M{x:.1f} {middle - peak * middle:.1f}h{width:.1f}V{middle + peak * middle:.1f}"
        f"h{-width:.1f}z"
        for x, width, peak in _columns(shape.peaks)
        if peak > 0
    )
    steps = [(x + width / 2, _level(value)) for x, width, value in _columns(shape.loudness)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in steps)
    dashes = ""
    if target is not None:
        y = _level(target)
        dashes = f'<path class="target" d="M0 {y:.1f}H{_WIDTH}"/>'
    return (
        f"<figure><figcaption>{title}, {_clock(seconds)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Waveform and loudness of {title}"><path class="wave" d="{wave}"/>{dashes}'
        f'<polyline class="loud" points="{line}"/></svg></figure>'
    )


def _columns(values: np.ndarray) -> list[tuple[float, float, float]]:
    """(x, width, greatest value) of each column of a picture."""
    if not len(values):
        return []
    count = min(_COLUMNS, len(values))
    bounds = np.arange(count) * len(values) // count
    width = _WIDTH / count
    greatest = np.maximum.reduceat(values, bounds)
    return [(n * width, width, float(value)) for n, value in enumerate(greatest)]


def _level(lufs: float) -> float:
    """The height of a loudness in a picture; what is softer lies at the bottom."""
    share = (min(max(lufs, _SOFTEST), _LOUDEST) - _SOFTEST) / (_LOUDEST - _SOFTEST)
    return _HEIGHT * (1 - share)


def _shown(rule: dict[str, Any]) -> str:
    if rule["name"] == "constant_rate":
        return "yes" if rule["value"] else "no"
    return _number(rule["value"])


def _number(value: float | None) -> str:
    """A number as the report has it; None is the level of silence."""
    return "-∞" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
