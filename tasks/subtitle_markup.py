"""The markup of subtitles: tags, override blocks, drawings and entities become plain text, and
voice tags become speakers."""

import re
from html import unescape

from tasks.subtitle_scan import INVISIBLE

_OVERRIDE = re.compile(r"\{([^{}]*)\}")
_DRAWING = re.compile(r"\\p(\d+)")
# Old codes of MicroDVD in SRT, and override blocks.
_CODES = re.compile(r"\{(?:\\[^{}]*|[yYcCfFsSpPoOhH]:[^{}]*)\}")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t\n]([^<>]+)>|(</v>)", re.I)
# Readings above characters are no text of their own.
_READING = re.compile(r"<rt\b[^<>]*>[^<>]*(?:</rt>)?|<rp\b[^<>]*>[^<>]*(?:</rp>)?", re.I)
_BREAK = re.compile(r"<br\s*/?>", re.I)
_TAG = re.compile(
    r"</?(?:b|big|body|c|center|div|em|font|i|lang|p|ruby|rb|s|small|span|strike|strong|sub|sup|u|v)"
    r"(?:[.\s/][^<>]*)?>|<\d+:[\d:.]*>|<!--[^<>]*-->",
    re.I,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPACES = re.compile(r"[^\S\n]+")
_ASS_BREAK = re.compile(r"\\[Nn]")


def voices_of(text: str) -> list[tuple[str, str]]:
    """Who says what in the text of an SRT or WebVTT cue: pairs of speaker and plain text.

    The speaker is "" outside of voice tags. Lines are split by "\\n".
    """
    text = _CODES.sub("", text.replace(r"\N", "\n").replace(r"\h", " "))
    text = _BREAK.sub("\n", _READING.sub("", text))
    found: list[tuple[str, str]] = []
    speaker, begin = "", 0
    for tag in _VOICE.finditer(text):
        found.append((speaker, text[begin : tag.start()]))
        speaker, begin = plain_text(tag[1] or ""), tag.end()
    found.append((speaker, text[begin:]))
    # Some programs write the tags as entities.
    told = [(who, _TAG.sub("", plain_text(_TAG.sub("", said)))) for who, said in found]
    merged: list[tuple[str, str]] = []
    for who, said in told:
        if not said:
            continue
        if merged and merged[-1][0] == who:
            merged[-1] = who, f"{merged[-1][1]} {said}"
        else:
            merged.append((who, said))
    return merged


def plain_text(text: str) -> str:
    """Text with its entities as characters, without what is not seen, its white space tidied."""
    text = _ENTITY.sub(lambda match: unescape(match[0]), text)
    text = INVISIBLE.sub("", text).replace("\u2028", "\n").replace("\u2029", "\n")
    lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(filter(None, lines))


def ass_text(text: str) -> str:
    """The text of an ASS event without override blocks, comments and drawings, its lines split by
    "\\n"; "" where it only draws."""
    kept, begin, draws = [], 0, False
    for block in _OVERRIDE.finditer(text):
        if not draws:
            kept.append(text[begin : block.start()])
        for scale in _DRAWING.findall(block[1]):
            draws = int(scale) > 0
        begin = block.end()
    if not draws:
        kept.append(text[begin:])
    return _ASS_BREAK.sub("\n", "".join(kept)).replace(r"\h", " ")


def draws(text: str) -> bool:
    """Whether an ASS event draws."""
    return any(
        int(scale) > 0 for block in _OVERRIDE.findall(text) for scale in _DRAWING.findall(block)
    )
