"""Plan a chapter: what is spoken at once, with its phones and the pause after it."""

import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from configs.errors import UserError
from model.speaking import Characters, spoken_line
from model.text import LANGUAGES, Reading, Spoken, speak_text, with_end
from model.text.marks import ENDS, PAUSES
from tasks.casting import Cast, cast_regions, speaker_at
from tasks.lexicon import Lexicon
from tasks.read_book import Block, Chapter
from tasks.readings import block_readings, masked, within
from tasks.sentences import Span, halve, sentence_spans, trim

log = logging.getLogger(__name__)

# Characters of an utterance: longer ones are cut at clauses, shorter ones join a neighbour of
# their paragraph. The model learned from sentences of 12 to 190 characters and up to 138 phones
# (19 seconds); what it never saw, it reads badly.
LONGEST = 200
LONGEST_PHONES = 150
SHORTEST = 18
_JOINED = 100  # joining never makes more than this
_LEAST = 30  # no half of a cut sentence is shorter,
LEAST_DENSE = 8  # nor of one whose numbers take long to say
NO_LEXICON = Lexicon()
_GOES_ON = re.compile(r"[\s,;:—–-]*[a-zà-ÿ]")
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
    number `block` of the chapter; -1 is what the book does not print there (its title, or credits).
    The phones of all `tokens` together are the first of `phones`, after which a mark may stand that
    was added. `speaker` is "" for the narrator.
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


def split_utterances(text: str, borders: Sequence[int] = ()) -> list[Span]:
    """Character spans of what is spoken at once; each character but white space is in one of them.

    A sentence is an utterance; those over `LONGEST` characters are cut at clauses, those under
    `SHORTEST` join the next or, at the end, the one before. At `borders`, in order, another voice
    begins: no span goes over one of them.
    """
    sentences = [part for span in sentence_spans(text) for part in _apart(text, span, borders)]
    return [part for span in _joined(sentences, borders) for part in _cut(text, span, LONGEST)]


def _apart(text: str, span: Span, borders: Sequence[int]) -> list[Span]:
    """`span` cut at the borders in it."""
    inside = borders[bisect_right(borders, span[0]) : bisect_left(borders, span[1])]
    cuts = pairwise([span[0], *inside, span[1]])
    return [part for cut in cuts if (part := trim(text, cut))] if inside else [span]


def _joined(spans: Iterable[Span], borders: Sequence[int]) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined:
            before, middle = joined[-1]
            short = min(middle - before, end - start) < SHORTEST
            short = short and bisect_left(borders, middle) == bisect_right(borders, start)
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
    chapter: Chapter,
    pauses: Pauses,
    language: str = "en",
    version: str = "",
    *,
    lexicon: Lexicon = NO_LEXICON,
    cast: Cast | None = None,
    warn: Callable[[str], None] = log.warning,
) -> list[Utterance]:
    """Utterances of a chapter in order.

    The title is spoken first unless the chapter's first blocks already say it. Text with nothing
    to say (ornaments, foreign script) makes no utterance, but the pause after it is kept. `number`
    counts from 0; `version` is that of the official checkpoints that are to speak, "v1" or "v2", or
    "" for our own voice. `lexicon` holds the user's own pronunciations. With a `cast`, text is also
    cut where another voice begins. `warn` is given a sentence for each thing that the book says of
    its words and that can't be spoken. Raises UserError for a language that has no text front-end.
    """
    check_readable(language)
    blocks = list(enumerate(chapter.blocks))
    if chapter.title.strip() and not _says_title(chapter.title, chapter.blocks, language):
        blocks.insert(0, (-1, Block("heading", chapter.title)))

    regions = cast_regions(number, chapter, cast) if cast else []
    planned: list[Utterance] = []
    for order, (place, block) in enumerate(blocks):
        text = block.text
        follower = blocks[order + 1][1].kind if order + 1 < len(blocks) else ""
        after = _pause_after_block(block.kind, follower, pauses)
        readings = block_readings(block, language, version, lexicon, warn)
        script = _Script(text, readings, masked(text, readings))
        lines = regions[place] if regions and place >= 0 else []
        borders = [border for line in lines for border in (line.start, line.end)]
        ends = {line.end for line in lines} | {line.start for line in lines}
        parts = [
            part
            for span in split_utterances(script.uncut, borders)
            for part in _fitting(script, span, language, version)
        ]
        block_begins = len(planned)
        unheard: tuple[Token, ...] = ()  # at the block's beginning
        for part in parts:
            ended = part.spoken.phones[-1:] in _SENTENCE_ENDS
            pause, close = (pauses.sentence if ended else pauses.clause), going_on
            if part is parts[-1]:
                pause, close = after, at_end
            elif part.end in ends and _GOES_ON.match(text, part.end):
                pause = pauses.clause  # “Stop!” | he cried.
            phones, characters = spoken_line(part.spoken, close)
            if not PAUSES.issuperset(phones):
                tokens = (*unheard, *tokens_of(part.spoken, part.start))
                utterance = Utterance(
                    number,
                    len(planned),
                    "",
                    phones,
                    language,
                    pause,
                    block.kind,
                    characters,
                    place,
                    speaker=speaker_at(lines, part.start),
                )
                planned.append(_showing(utterance, text, tokens))
                unheard = ()
                continue
            # It has no sound, but it is printed: it is shown with what is spoken beside it.
            silent = tuple(replace(token, phones=0) for token in tokens_of(part.spoken, part.start))
            if len(planned) > block_begins:
                last = planned[-1]
                planned[-1] = _showing(last, text, (*_moved(last.tokens, last.start), *silent))
            else:
                unheard = (*unheard, *silent)
            _lengthen(planned, pause)
        if not parts:
            _lengthen(planned, after)
    _lengthen(planned, pauses.chapter)
    return planned


def check_readable(language: str) -> None:
    """Raises UserError for a language that has no text front-end."""
    if language.split("-")[0].lower() not in LANGUAGES:
        raise UserError(
            f"the text is in {language!r}, and only {', '.join(LANGUAGES)} can be read so far: "
            "choose the language that it is to be read in"
        )


def tokens_of(spoken: Spoken, start: int) -> tuple[Token, ...]:
    """What is said for each printed token; `start` is where the text stands in its block."""
    return _moved(
        [Token(word.start, word.end, word.spoken, len(word.phones)) for word in spoken.words], start
    )


def _moved(tokens: Iterable[Token], by: int) -> tuple[Token, ...]:
    return tuple(replace(token, start=token.start + by, end=token.end + by) for token in tokens)


def _showing(utterance: Utterance, block: str, tokens: Sequence[Token]) -> Utterance:
    """The utterance with tokens of its block's text, and the text that they are printed as."""
    start, end = tokens[0].start, tokens[-1].end
    return replace(utterance, text=block[start:end], start=start, tokens=_moved(tokens, -start))


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


def going_on(phones: tuple[str, ...]) -> tuple[str, ...]:
    """`phones` of a text that is cut before its sentence ends, with a comma at their end."""
    return (*phones, ",") if phones and phones[-1] not in PAUSES else phones


def at_end(phones: tuple[str, ...]) -> tuple[str, ...]:
    """`phones` of a text that ends there, with a full stop unless a mark is at their end."""
    return phones if phones[-1:] == (",",) else with_end(phones)


@dataclass(frozen=True)
class _Script:
    """A block's text, and how stretches of it are read."""

    text: str
    readings: Sequence[Reading]
    uncut: str  # the text with nothing in such a stretch at which it could be cut


@dataclass(frozen=True)
class _Part:
    """What is spoken at once: a part of a block's text from `start` on."""

    start: int
    spoken: Spoken

    @property
    def end(self) -> int:
        return self.start + len(self.spoken.text)


def _fitting(script: _Script, span: Span, language: str, version: str) -> list[_Part]:
    """A span of the text, cut again where it has too many phones: numbers can be much longer
    spoken than printed."""
    readings = within(script.readings, *span)
    spoken = speak_text(script.text[span[0] : span[1]], language, version, readings)
    if len(spoken.phones) > LONGEST_PHONES and (halves := halve(script.uncut, span, LEAST_DENSE)):
        return [part for half in halves for part in _fitting(script, half, language, version)]
    return [_Part(span[0], spoken)]


def _says_title(title: str, blocks: Iterable[Block], language: str) -> bool:
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
