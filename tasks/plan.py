"""Plan a chapter: what is spoken at once, with its phones and the pause after it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from configs.errors import UserError
from model.speaking import Characters, spoken_line
from model.text import LANGUAGES, Spoken, speak_text, with_end
from model.text.marks import ENDS, PAUSES
from tasks.sentences import Span, halve, sentence_spans

if TYPE_CHECKING:
    from tasks.read_book import Block, Chapter

# Characters of an utterance: longer ones are cut at clauses, shorter ones join a neighbour of
# their paragraph. The model learned from sentences of 12 to 190 characters and up to 138 phones
# (19 seconds); what it never saw, it reads badly.
LONGEST = 200
LONGEST_PHONES = 150
SHORTEST = 18
_JOINED = 100  # joining never makes more than this
_LEAST = 30  # no half of a cut sentence is shorter,
_LEAST_DENSE = 8  # nor of one whose numbers take long to say
_SENTENCE_ENDS = frozenset((mark,) for mark in ENDS)


@dataclass(frozen=True)
class Pauses:
    """Silence after each kind of text, in seconds."""

    sentence: float = 0.3
    clause: float = 0.12
    paragraph: float = 0.5
    verse: float = 0.3
    heading: float = 0.9
    scene: float = 1.8
    chapter: float = 2.0


@dataclass(frozen=True)
class Token:
    """A printed token of an utterance: its characters `start` to `end`, what is said for them (""
    for a mark), and how many of the utterance's phones that are."""

    start: int
    end: int
    spoken: str
    phones: int


@dataclass(frozen=True)
class Utterance:
    """What is spoken at once. `text` is as printed, `phones` are symbols of the v2 inventory.

    `chapter` and `index` count from 0, `pause_after` is in seconds, `kind` is that of its block:
    "heading", "paragraph", "verse" or "note". `text` are the characters from `start` on of block
    number `block` of the chapter; -1 is the chapter's title where no block says it. The phones of
    all `tokens` together are the first of `phones`, after which a mark may stand that was added.
    `speaker` is "" for the narrator.
    """

    chapter: int
    index: int
    text: str
    phones: tuple[str, ...]
    language: str
    pause_after: float
    kind: str
    characters: tuple[Characters, ...] = ()  # of Chinese
    block: int = -1
    start: int = 0
    tokens: tuple[Token, ...] = ()
    speaker: str = ""


def split_utterances(text: str) -> list[Span]:
    """Character spans of what is spoken at once; each character but white space is in one of them.

    A sentence is an utterance; those over `LONGEST` characters are cut at clauses, those under
    `SHORTEST` join the next or, at the end, the one before.
    """
    return [part for span in _joined(sentence_spans(text)) for part in _cut(text, span, LONGEST)]


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined:
            before, middle = joined[-1]
            short = min(middle - before, end - start) < SHORTEST
            if short and end - before <= _JOINED:
                joined[-1] = (before, end)
                continue
        joined.append((start, end))
    return joined


def _cut(text: str, span: Span, longest: int) -> list[Span]:
    if span[1] - span[0] <= longest:
        return [span]
    halves = halve(text, span, _LEAST)
    return [part for half in halves for part in _cut(text, half, longest)] if halves else [span]


def plan_chapter(
    number: int,
    chapter: "Chapter",
    pauses: Pauses,
    language: str = "en",
    version: str = "",
) -> list[Utterance]:
    """Utterances of a chapter in order.

    The title is spoken first unless the chapter's first blocks already say it. Text with nothing
    to say (ornaments, foreign script) makes no utterance, but the pause after it is kept. `number`
    counts from 0; `version` is that of the official checkpoints that are to speak, "v1" or "v2", or
    "" for our own voice. Raises UserError for a language that has no text front-end.
    """
    if language.split("-")[0].lower() not in LANGUAGES:
        raise UserError(
            f"the text is in {language!r}, and only {', '.join(LANGUAGES)} can be read so far: "
            "choose the language that it is to be read in"
        )
    blocks = [(block.kind, block.text) for block in chapter.blocks]
    if chapter.title.strip() and not _says_title(chapter.title, chapter.blocks, language):
        blocks.insert(0, ("heading", chapter.title))

    planned: list[Utterance] = []
    for place, (kind, text) in enumerate(blocks):
        follower = blocks[place + 1][0] if place + 1 < len(blocks) else ""
        after = _pause_after_block(kind, follower, pauses)
        spans = split_utterances(text)
        for span in spans:
            last = span == spans[-1]
            pieces = _fitting(text, span, language, version)
            for piece, (printed, spoken) in enumerate(pieces):
                ended = spoken.phones[-1:] in _SENTENCE_ENDS
                pause, close = (pauses.sentence if ended else pauses.clause), _going_on
                if last and piece == len(pieces) - 1:
                    pause, close = after, _at_end
                phones, characters = spoken_line(spoken, close)
                if PAUSES.issuperset(phones):
                    _lengthen(planned, pause)
                    continue
                index = len(planned)
                planned.append(
                    Utterance(number, index, printed, phones, language, pause, kind, characters)
                )
        if not spans:
            _lengthen(planned, after)
    _lengthen(planned, pauses.chapter)
    return planned


def _lengthen(planned: list[Utterance], pause: float) -> None:
    """Keep a pause that has no utterance of its own after the one before."""
    if planned and planned[-1].pause_after < pause:
        planned[-1] = replace(planned[-1], pause_after=pause)


def _pause_after_block(kind: str, follower: str, pauses: Pauses) -> float:
    if kind == "scene_break":
        return pauses.scene
    if kind == "heading" or follower == "heading":
        return pauses.heading
    if kind == "verse" and follower == "verse":
        return pauses.verse
    return pauses.paragraph


def _going_on(phones: tuple[str, ...]) -> tuple[str, ...]:
    return (*phones, ",") if phones and phones[-1] not in PAUSES else phones


def _at_end(phones: tuple[str, ...]) -> tuple[str, ...]:
    return phones if phones[-1:] == (",",) else with_end(phones)


def _fitting(text: str, span: Span, language: str, version: str) -> list[tuple[str, Spoken]]:
    """Printed text and what is said for the parts of a span.

    Numbers can be much longer spoken than printed, so parts with too many phones are cut again.
    """
    printed = text[span[0] : span[1]]
    spoken = speak_text(printed, language, version)
    if len(spoken.phones) > LONGEST_PHONES and (halves := halve(text, span, _LEAST_DENSE)):
        return [part for half in halves for part in _fitting(text, half, language, version)]
    return [(printed, spoken)]


def _says_title(title: str, blocks: Iterable["Block"], language: str) -> bool:
    """Whether the first blocks say the title.

    They do if they begin with its words, or with a heading made of some of them ("I" or "The Boy"
    for "Chapter I: The Boy"). Words are compared as spoken, so that "Chapter 1" is "CHAPTER I.".
    """

    def said(text: str) -> list[str]:
        return " ".join(word.spoken for word in speak_text(text, language).words).casefold().split()

    words = said(title)
    first: list[str] = []
    for block in blocks:
        more = said(block.text[:300])
        if not first and more and block.kind == "heading" and set(more) <= set(words):
            return True
        first.extend(more)
        if len(first) >= len(words):
            break
    return first[: len(words)] == words
