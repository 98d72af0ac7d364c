"""What is in a book or in subtitles, for the page to show before anything is made."""

from functools import lru_cache
from pathlib import Path

from configs.settings import Settings
from flows.inspect_cli import WORDS_PER_HOUR, contents
from flows.inspect_subtitles import subtitle_contents
from flows.progress import FINISHING_SPEED, SPOKEN_PHONES_PER_SECOND
from flows.work import PHONES_PER_CHARACTER, measured_speed, remembered_speed
from studio.models import (
    BookChapter,
    BookContents,
    Estimate,
    LeftOut,
    NotSpoken,
    SubtitleContents,
    SubtitleSpeaker,
)
from tasks.dub_types import Subtitles
from tasks.epub_chapters import words_in
from tasks.matter import SKIPPED, Reading
from tasks.read_book import Book, read_book
from tasks.read_subtitles import read_subtitles
from tasks.sentences import sentence_spans

_LEAST, _MOST = 40, 160  # characters of a sentence that shows a voice


@lru_cache(maxsize=4)
def book_of(path: Path, reading: Reading) -> Book:
    """A book that was uploaded, whose file never changes."""
    return read_book(path, reading)


@lru_cache(maxsize=4)
def subtitles_of(path: Path) -> Subtitles:
    """Subtitles that were uploaded."""
    return read_subtitles(path)


def book_contents(book: Book) -> BookContents:
    """What the page shows of a book."""
    told = contents(book)
    names = {reason: name for name, reason in SKIPPED.items()}
    return BookContents(
        title=book.title,
        authors=list(book.authors),
        language=book.language,
        words=told["words"],
        hours=told["hours"],
        chapters=[BookChapter(**chapter) for chapter in told["chapters"]],
        left_out=[
            LeftOut(
                place=one.place,
                reason=one.reason,
                words=one.words,
                name=names.get(one.reason, ""),
            )
            for one in book.left_out
        ],
        warnings=told["warnings"],
        sentence=book_sentence(book),
    )


def shown_subtitles(read: Subtitles) -> SubtitleContents:
    """What the page shows of subtitles."""
    told = subtitle_contents(read)
    return SubtitleContents(
        format=read.format,
        language=read.language,
        seconds=told["duration"],
        speech_seconds=told["speech"],
        cues=len({cue.number for cue in read.cues}),
        speakers=[SubtitleSpeaker(**one) for one in told["speakers"]],
        not_spoken=[
            NotSpoken(why=why, cues=len(numbers)) for why, numbers in told["not_spoken"].items()
        ],
        repairs=[repair.what for repair in read.repairs],
        sentence=subtitle_sentence(read),
    )


def book_sentence(book: Book) -> str:
    """A sentence of the story that is neither short nor long, to hear a voice with."""
    texts = [
        block.text
        for chapter in book.chapters
        for block in chapter.blocks
        if block.kind == "paragraph"
    ]
    sentences = (text[a:b] for text in texts for a, b in sentence_spans(text))
    return next(
        (one for one in sentences if _LEAST <= len(one) <= _MOST),
        texts[0][:_MOST] if texts else book.title,
    )


def subtitle_sentence(read: Subtitles) -> str:
    """A line of the subtitles that is long enough to hear a voice with."""
    texts = [cue.text for cue in read.cues if cue.text]
    return max(texts[:200], key=lambda text: min(len(text), _MOST), default="")[:_MOST]


def book_estimate(book: Book, chapters: list[int], settings: Settings) -> Estimate:
    """How long chapters (from 1; [] are all) would be, and how long making them takes."""
    chosen = [
        chapter
        for number, chapter in enumerate(book.chapters, 1)
        if not chapters or number in chapters
    ]
    texts = [block.text for chapter in chosen for block in chapter.blocks]
    words = words_in(texts)
    return _estimate(words, 3600 * words / WORDS_PER_HOUR, sum(map(len, texts)), settings)


def subtitle_estimate(read: Subtitles, settings: Settings) -> Estimate:
    """How long a dub would be, and how long making it takes."""
    texts = [cue.text for cue in read.cues if cue.text]
    seconds = max((cue.end_ms for cue in read.cues), default=0) / 1000
    return _estimate(words_in(texts), seconds, sum(map(len, texts)), settings)


def _estimate(words: int, spoken: float, characters: int, settings: Settings) -> Estimate:
    phones = characters * PHONES_PER_CHARACTER
    work = phones / remembered_speed(settings)
    work += phones / SPOKEN_PHONES_PER_SECOND / FINISHING_SPEED
    return Estimate(
        words=words,
        spoken_seconds=round(spoken, 1),
        work_seconds=round(work, 1),
        measured=measured_speed(settings) is not None,
    )
