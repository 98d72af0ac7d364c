"""The text of a subtitle file: which encoding its bytes are in, and what of them is damaged."""

import codecs
import re
from collections.abc import Iterator

import chardet

from configs.errors import UserError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# So many bytes tell how a file is encoded.
_SAMPLE = 200_000
# With a larger share of zeros, or of control characters, it is no text.
_ZEROS = 0.001
_CONTROL_SHARE = 0.02
# A file of UTF-8 with fewer broken bytes than this, of those that are not ASCII, is damaged UTF-8.
_DAMAGED = 0.05
# What is usual in a language is preferred where chardet finds it this likely, measured by its best.
_HINT = 0.3
# What subtitles in a language were usually written in before UTF-8, the likeliest first. A guess
# from few bytes is worse than this knowledge.
_USUAL = {
    "ar": ("cp1256",),
    "bg": ("cp1251",),
    "cs": ("cp1250",),
    "el": ("cp1253",),
    "fa": ("cp1256",),
    "he": ("cp1255",),
    "hr": ("cp1250",),
    "hu": ("cp1250",),
    "ja": ("cp932", "euc_jp"),
    "ko": ("cp949",),
    "lt": ("cp1257",),
    "lv": ("cp1257",),
    "mk": ("cp1251",),
    "pl": ("cp1250",),
    "ro": ("cp1250",),
    "ru": ("cp1251", "koi8-r"),
    "sk": ("cp1250",),
    "sl": ("cp1250",),
    "sr": ("cp1250", "cp1251"),
    "th": ("cp874",),
    "tr": ("cp1254",),
    "uk": ("cp1251",),
    "vi": ("cp1258",),
    "yue": ("big5hkscs", "gb18030"),
    "zh": ("gb18030", "big5hkscs"),
}
# Subtitles were made on Windows, whose dashes and signs differ.
_AS_WINDOWS = {"shift_jis_2004": "cp932"}
_WESTERN = ("da", "de", "en", "es", "fi", "fr", "is", "it", "nb", "nl", "no", "pt", "sv")
_USUAL.update(dict.fromkeys(_WESTERN, ("cp1252",)))
_WRONG = re.compile(r"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_LATIN = "A-Za-z\u00c0-\u024f"
_OTHER = "\u0370-\u03ff\u0400-\u04ff\u0590-\u05ff\u0600-\u06ff\u0e00-\u0e7f"
# Letters of two alphabets in one word are not written by people.
_MIXED = re.compile(f"[{_LATIN}][{_OTHER}]|[{_OTHER}][{_LATIN}]")
# Nor are such signs between letters: they are letters of ISO 8859-2 read as Windows-1250.
_SIGNS = re.compile(r"(?<=[^\W\d])[¦±¶¼ˇ¬](?=[^\W\d])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_FOREIGN = re.compile(r"[^\x00-\x7f]")


def decode_subtitles(name: str, content: bytes, language: str = "") -> tuple[str, str, list[str]]:
    """The text of a file, the encoding it was in, and what was mended, in words.

    By the byte order mark, by the zeros of UTF-16, as UTF-8, by what is usual in `language`
    (BCP 47, "" unknown), then by chardet. Raises UserError for what is no text.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _damaged(content[len(mark) :], encoding, [])
    if encoding := _by_zeros(content):
        return _damaged(content, encoding, ["It is UTF-16 without a byte order mark."])
    if content[:_SAMPLE].count(0) > _ZEROS * len(content[:_SAMPLE]):
        raise UserError(f"{name} is no subtitle file: it holds no text.")
    text = content.decode("utf-8", errors="replace")
    broken, foreign = text.count("\ufffd"), len(_FOREIGN.findall(text))
    if not broken or broken <= max(1, _DAMAGED * foreign) < foreign:
        return _damaged(content, "utf-8", [])
    for encoding in _candidates(content, language.split("-")[0].lower()):
        return _damaged(content, encoding, [f"It is not UTF-8; {encoding} is what it looks like."])
    raise UserError(
        f"{name} is no subtitle file that can be read; save it as UTF-8 with a text editor."
    )


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file may be those of a text, in whatever encoding."""
    if head.startswith(tuple(mark for mark, _ in _BOMS)) or _by_zeros(head):
        return True
    odd = len(_CONTROLS.findall(head.decode("latin-1")))
    return odd <= _CONTROL_SHARE * len(head)


def _damaged(content: bytes, encoding: str, mended: list[str]) -> tuple[str, str, list[str]]:
    """Text without what could not be decoded and without control characters."""
    text = content.decode(encoding, errors="replace")
    if broken := text.count("\ufffd"):
        mended = [*mended, f"Bytes that are not {encoding} were left out: {broken}."]
    if controls := len(_CONTROLS.findall(text)):
        mended = [*mended, f"Control characters were left out: {controls}."]
    return _CONTROLS.sub("", text.replace("\ufffd", "")), encoding, mended


def _by_zeros(content: bytes) -> str:
    """UTF-16 by where its zero bytes are: line ends, digits and times have one in each pair."""
    sample = content[: _SAMPLE & ~1]
    pairs = len(sample) // 2
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    if pairs and max(first, second) > 0.1 * pairs and min(first, second) < 0.01 * pairs:
        encoding = "utf-16-be" if first > second else "utf-16-le"
        text = sample.decode(encoding, errors="replace")
        return encoding if len(_WRONG.findall(text)) <= _CONTROL_SHARE * pairs else ""
    return ""


def _candidates(content: bytes, language: str) -> Iterator[str]:
    """The encodings in which a file's first part is text that people write, the likeliest first."""
    sample = content[:_SAMPLE]
    if len(content) > _SAMPLE:
        # A character must not be cut in two.
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    lines = [line for line in sample.splitlines() if _not_ascii(line)]
    found = chardet.detect_all(
        b"\n".join(lines) or sample,
        ignore_threshold=True,
        encoding_era=chardet.EncodingEra.MODERN_WEB,
        prefer_superset=True,
        compat_names=False,
    )
    seen = {one["encoding"]: one["confidence"] for one in found if one["encoding"]}
    best = max(seen.values(), default=0.0)
    usual = _USUAL.get(language, ())
    hinted = [one for one in usual if seen.get(one, 0.0) >= _HINT * best]
    likely = [_AS_WINDOWS.get(one, one) for one in (*hinted, *seen, *usual)]
    for encoding in dict.fromkeys([*likely, "iso8859-2"]):
        try:
            text = sample.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
        odd = len(_MIXED.findall(text)) + len(_SIGNS.findall(text))
        if not _WRONG.search(text) and odd <= _DAMAGED * len(lines):
            yield encoding


def _not_ascii(line: bytes) -> bool:
    return not line.isascii()
