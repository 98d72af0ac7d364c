"""Casting: who speaks which quotation, by the cast file that the user edits and by what is printed.

Nothing is guessed: a quotation has a speaker where the cast file gives it one, where the book marks
it, where a name of the cast file stands beside it ("said Alice"), or where it goes on with one that
has a speaker. All else is the narrator's, or that of the voice for dialogue.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from configs.errors import UsageError
from tasks.handwritten import parse, read_text
from tasks.quotes import Quotation, quotations
from tasks.read_book import Block, Book, Chapter

DIALOGUE = "dialogue"  # the speaker of quotations that are nobody else's
_PROSE = ("paragraph", "verse")
_SIGHT = 160  # characters beside a quotation in which its speaker is looked for
_MOST_NAMES = 1000
_LONGEST = 300  # characters of a name or of what is quoted
_SECTIONS = ("voices", "aliases", DIALOGUE, "lines", "dashes")
_RULE_FIELDS = ("speaker", "text", "attribution", "chapter", "paragraph")

_VERB_LIST = (
    "said says asked asks replied replies answered cried exclaimed returned added continued "
    "observed remarked began whispered shouted called repeated inquired enquired demanded rejoined "
    "declared muttered murmured growled screamed yelled sighed laughed interrupted suggested "
    "explained thought ejaculated resumed insisted protested responded retorted announced told "
    "admitted agreed argued begged bellowed breathed complained concluded confessed croaked gasped "
    "groaned grunted hissed howled moaned mumbled objected ordered persisted pleaded pursued "
    "quoth roared sang scolded shrieked snapped snarled sneered sobbed spoke squeaked stammered "
    "stated urged wailed warned whimpered wondered proceeded assented"
)
_VERBS = f"(?:{'|'.join(_VERB_LIST.split())})"
_ADVERB = r"(?:\w+ly,?\s+)?"
_GAP = r"[\s,—–-]*"
_TITLES = (
    r"(?:Mr|Mrs|Ms|Messrs|Dr|St|Miss|Master|Madame|Monsieur|Sir|Lady|Lord|Captain|Colonel|Major|"
    r"Doctor|Professor|Aunt|Uncle|Father|Mother|Brother|Sister|King|Queen|Prince|Princess|Old|Little)"
)
_PROPER = r"[A-Z][\w’'-]*[\w]"
# A name as it may stand in a book: "Mr. Bennet", "Lady Catherine de Bourgh", "the Time Traveller".
_ANY_NAME = (
    rf"(?:{_TITLES}\.?\s+|[Tt]he\s+)?{_PROPER}(?:\s+(?:de\s+|of\s+|von\s+|van\s+)?{_PROPER})*"
)
_PRONOUNS = "he she they it i you we who one there then and but so what this that"
_NO_NAMES = frozenset(_PRONOUNS.split())
# Somebody who is no pronoun: "the boy", "his wife", "Mrs. Long".
_SOMEBODY = rf"(?:(?:the|an?|his|her|my|our|their|one|another)\s+\w+|{_ANY_NAME})"


@dataclass(frozen=True)
class Rule:
    """Which quotations are a speaker's: those that have all that is given. Chapters and paragraphs
    count from 1; `text` is in the quotation, `attribution` stands beside it, both as `folded`."""

    speaker: str
    text: str = ""
    attribution: str = ""
    chapter: int = 0
    paragraph: int = 0


@dataclass(frozen=True)
class Cast:
    """Who speaks with which voice: `voices` maps a speaker to a sample's path or a registered name,
    and has only those with a voice of their own. `names` are all that speakers are called by."""

    voices: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    dashes: bool = False

    @cached_property
    def tags(self) -> "_Tags":
        return _Tags.of(_any_of(self.names)) if self.names else _Tags.of("(?!)")

    @cached_property
    def marked(self) -> Mapping[str, str]:
        """Speakers by what they are called in a book's markup."""
        return {folded(name): speaker for name, speaker in self.names.items()}

    def voice_of(self, speaker: str) -> str:
        """The speaker whose voice is heard: the same, `DIALOGUE`, or "" for the narrator."""
        return next((name for name in (speaker, DIALOGUE) if name in self.voices), "")


@dataclass(frozen=True)
class Line:
    """A stretch of a block that one person speaks; `speaker` is "" where nobody knows who."""

    start: int
    end: int
    speaker: str


@dataclass(frozen=True)
class _Tags:
    """What stands beside a quotation and names who says it, for names that a pattern finds."""

    after: tuple[re.Pattern[str], ...]
    before: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, names: str) -> "_Tags":
        name = rf"(?P<name>{names})(?!\w|[’']s)"
        aside = r"(?:,[^,.!?;:“”\"]{0,60},)?"
        after = (
            rf"{_GAP}(?:{_VERBS})\s+{_ADVERB}(?:the\s+)?{name}",
            rf"{_GAP}(?:[Tt]he\s+)?{name}{aside}\s+(?:then\s+|had\s+|only\s+)?{_ADVERB}"
            rf"{_VERBS}\b(?!\s+(?:nothing|no)\b)",
        )
        rest = r"[^.!?;:“”\"]{0,60}"
        before = (
            rf"(?<![\w.])(?<!to )(?<!of )(?<!with ){name}{aside}\s+(?:then\s+|had\s+|only\s+)?"
            rf"{_ADVERB}{_VERBS}\b{rest}[,:—–]\s*$",
            rf"\b{_VERBS}\s+(?:the\s+)?{name}{rest}[,:—–]\s*$",
        )
        return cls(tuple(map(re.compile, after)), tuple(map(re.compile, before)))

    def find(self, before: str, after: str) -> str:
        """The name in a tag behind a quotation, or else in front of it; "" where there is none."""
        for pattern in self.after:
            if (match := pattern.match(after)) and match["name"].lower() not in _NO_NAMES:
                return _spaced(match["name"])
        for pattern in self.before:
            names = [match["name"] for match in pattern.finditer(before)]
            if names and names[-1].lower() not in _NO_NAMES:
                return _spaced(names[-1])
        return ""


def _any_of(names: Iterable[str]) -> str:
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return "|".join(
        re.escape(name).replace(r"\ ", r"\s+").replace("'", "['’]") for name in longest_first
    )


def _spaced(text: str) -> str:
    return " ".join(text.replace("’", "'").split())


def folded(text: str) -> str:
    """What counts of a text that is compared: no case, no marks at its ends, single spaces."""
    return _spaced(text).strip(" .:—-").casefold()


_SOMEBODY_SAYS = _Tags.of(_SOMEBODY)
_ANYBODY_SAYS = _Tags.of(_ANY_NAME)


def lines_of(number: int, chapter: Chapter, cast: Cast) -> list[list[Line]]:
    """The quotations of each block, and who speaks them; `number` counts chapters from 0.

    Where the book marks whose a stretch is, that is a line, too. Lines are in order and apart.
    """
    blocks = chapter.blocks
    found = quotations(_texts(blocks), cast.dashes)
    speakers = [
        _speakers(number, place, block.text, quoted, cast)
        for place, (block, quoted) in enumerate(zip(blocks, found, strict=True))
    ]
    _hand_on(found, speakers)
    lines = []
    for block, quoted, names in zip(blocks, found, speakers, strict=True):
        marked = list(_marked(block, cast))
        spoken = [
            Line(quotation.start, quotation.end, name)
            for quotation, name in zip(quoted, names, strict=True)
            if not any(m.start < quotation.end and quotation.start < m.end for m in marked)
        ]
        lines.append(sorted([*marked, *spoken], key=lambda line: line.start))
    return lines


def _texts(blocks: Sequence[Block]) -> list[str]:
    return [block.text if block.kind in _PROSE else "" for block in blocks]


def _marked(block: Block, cast: Cast) -> Iterator[Line]:
    """Stretches whose speaker the book names, of those who are in the cast."""
    at = 0
    for remark in sorted(block.remarks, key=lambda remark: remark.start):
        start, end = max(at, remark.start), min(len(block.text), remark.end)
        speaker = cast.marked.get(folded(remark.speaker), "") if remark.speaker else ""
        if speaker and start < end:
            yield Line(start, end, speaker)
            at = end


def _speakers(
    number: int, place: int, text: str, quoted: Sequence[Quotation], cast: Cast
) -> list[str]:
    """The speakers of a paragraph's quotations, "" where nothing tells.

    All quotations of a paragraph are of the one who is named beside one of them, unless somebody
    else is named, too.
    """
    ruled, named, others = [], [], False
    for index, quotation in enumerate(quoted):
        before, after = _beside(text, quoted, index)
        said = text[quotation.start : quotation.end]
        ruled.append(_by_rule(number, place, said, before, after, cast.rules))
        name = cast.tags.find(before, after)
        named.append(cast.names.get(name, ""))
        others = others or (not name and bool(_SOMEBODY_SAYS.find(before, after)))
    told = set(named) - {""}
    only = told.pop() if len(told) == 1 and not others else ""
    return [rule or name or only for rule, name in zip(ruled, named, strict=True)]


def _beside(text: str, quoted: Sequence[Quotation], index: int) -> tuple[str, str]:
    """What stands between a quotation and those before and after it, as far as needs be."""
    start, end = quoted[index].start, quoted[index].end
    first = quoted[index - 1].end if index else 0
    last = quoted[index + 1].start if index + 1 < len(quoted) else len(text)
    return text[max(first, start - _SIGHT) : start], text[end : min(last, end + _SIGHT)]


def _by_rule(
    number: int, place: int, said: str, before: str, after: str, rules: Iterable[Rule]
) -> str:
    said, beside = folded(said), folded(before) + " | " + folded(after)
    for rule in rules:
        if rule.chapter not in (0, number + 1) or rule.paragraph not in (0, place + 1):
            continue
        if rule.text in said and rule.attribution in beside:
            return rule.speaker
    return ""


def _hand_on(found: Sequence[Sequence[Quotation]], speakers: Sequence[list[str]]) -> None:
    """Gives all parts of a speech over several paragraphs the speaker that one of them has."""
    speeches: list[list[tuple[int, int]]] = []  # paragraph and number of each part
    for place, quoted in enumerate(found):
        goes_on = bool(quoted) and quoted[0].continues
        if goes_on:
            speeches[-1].append((place, 0))
        if quoted and quoted[-1].unfinished and not (goes_on and len(quoted) == 1):
            speeches.append([(place, len(quoted) - 1)])
    for parts in speeches:
        named = [speakers[place][index] for place, index in parts if speakers[place][index]]
        for place, index in parts if named else ():
            speakers[place][index] = speakers[place][index] or named[0]


def cast_regions(number: int, chapter: Chapter, cast: Cast) -> list[list[Line]]:
    """The stretches of each block that are not the narrator's, with the speaker whose voice it is.

    Speakers with the same voice, and nothing but white space between them, are one stretch.
    """
    regions = []
    for block, lines in zip(chapter.blocks, lines_of(number, chapter, cast), strict=True):
        joined: list[Line] = []
        for line in lines:
            voice = cast.voice_of(line.speaker)
            if not voice:
                continue
            last = joined[-1] if joined else None
            if (
                last
                and not block.text[last.end : line.start].strip()
                and cast.voices[last.speaker] == cast.voices[voice]
            ):
                joined[-1] = Line(last.start, line.end, last.speaker)
            else:
                joined.append(Line(line.start, line.end, voice))
        regions.append(joined)
    return regions


def load_cast(path: Path) -> Cast:
    """The cast of a file; a sample's path may be given from the file's folder on.

    Raises UsageError for a file that can't be read, or that says what it can't mean.
    """
    content = parse(path, read_text(path))
    if unknown := sorted(set(content) - set(_SECTIONS)):
        raise UsageError(f"{path}: {unknown[0]!r} means nothing; there are {', '.join(_SECTIONS)}")
    voices = _texts_by_name(path, "voices", content)
    names = {name: name for name in voices}
    for speaker, given in _section(path, "aliases", content, dict).items():
        if speaker not in voices:
            raise UsageError(f"{path}: {speaker!r} has aliases, but is not among the voices")
        for alias in given if isinstance(given, list) else [given]:
            name = _spaced(alias) if isinstance(alias, str) else ""
            if not name or names.setdefault(name, speaker) != speaker:
                raise UsageError(f"{path}: {alias!r} can't be an alias of {speaker!r} as well")
    if any(len(name) > _LONGEST or not name for name in names) or len(names) > _MOST_NAMES:
        raise UsageError(f"{path} has too many names, or one that is too long or empty")
    if DIALOGUE in names:
        raise UsageError(f"{path}: nobody can be called {DIALOGUE!r}; it is a section of its own")
    dialogue, dashes = content.get(DIALOGUE, ""), content.get("dashes", "")
    if not isinstance(dialogue, str):
        raise UsageError(f"{path}: give one voice for {DIALOGUE}")
    if dashes not in ("", "true", "false"):
        raise UsageError(f"{path}: dashes may be true or false")
    voices[DIALOGUE] = dialogue
    rules = tuple(_rule(path, rule, names) for rule in _section(path, "lines", content, list))
    given = {speaker: voice_beside(path, voice) for speaker, voice in voices.items() if voice}
    return Cast(given, names, rules, dashes == "true")


def _section(path: Path, name: str, content: Mapping[str, object], kind: type) -> Any:
    value = content.get(name) or kind()
    if not isinstance(value, kind):
        what = "names and values" if kind is dict else "a list"
        raise UsageError(f"{path}: {name} must hold {what}")
    return value


def _texts_by_name(path: Path, name: str, content: Mapping[str, object]) -> dict[str, str]:
    values = _section(path, name, content, dict)
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in values.items()):
        raise UsageError(f"{path}: {name} must hold speakers, each with one voice")
    return {_spaced(speaker): voice for speaker, voice in values.items()}


def _rule(path: Path, given: object, names: Mapping[str, str]) -> Rule:
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise UsageError(f"{path}: each of lines must hold a speaker and what tells the line")
    if unknown := sorted(set(given) - set(_RULE_FIELDS)):
        raise UsageError(
            f"{path}: {unknown[0]!r} in lines means nothing; there are {', '.join(_RULE_FIELDS)}"
        )
    speaker = names.get(_spaced(given.get("speaker", "")))
    if speaker is None:
        raise UsageError(f"{path}: {given.get('speaker')!r} in lines is not among the voices")
    numbers = [given.get(name, "0") for name in ("chapter", "paragraph")]
    if not all(re.fullmatch("[0-9]{1,6}", number) for number in numbers):
        raise UsageError(f"{path}: chapter and paragraph in lines are numbers from 1 on")
    chapter, paragraph = map(int, numbers)
    text, attribution = folded(given.get("text", "")), folded(given.get("attribution", ""))
    if not (text or attribution or chapter):
        raise UsageError(f"{path}: a line of {speaker!r} lacks text, attribution or chapter")
    return Rule(speaker, text, attribution, chapter, paragraph)


def voice_beside(path: Path, given: str) -> str:
    """A sample's path from the folder of a cast file on where a file is there, else what is
    given."""
    beside = path.parent / given
    return str(beside) if beside.is_file() else given


def draft_cast(book: Book) -> str:
    """A cast file to begin with: the names beside quotations, the most frequent first."""
    counts: Counter[str] = Counter()
    total = 0
    for chapter in book.chapters:
        for block, quoted in zip(chapter.blocks, quotations(_texts(chapter.blocks)), strict=True):
            total += len(quoted)
            for index in range(len(quoted)):
                if name := _ANYBODY_SAYS.find(*_beside(block.text, quoted, index)):
                    counts[name] += 1
    names = [(name, count) for name, count in counts.most_common(_MOST_DRAFTED) if count > 1]
    voices = "".join(f"  {yaml_key(name)}:  # named {count} times\n" for name, count in names)
    return _DRAFT.format(
        title=" ".join(book.title.split()), total=total, named=sum(counts.values()), voices=voices
    )


def yaml_key(name: str) -> str:
    """A name as it is written in a YAML file."""
    return yaml.safe_dump(name, allow_unicode=True, width=10_000).splitlines()[0]


_MOST_DRAFTED = 60
_DRAFT = """\
# Who speaks in "{title}": {named} of {total} quotations have a name beside them.
# Give a voice to whom you like: a recording, or a name from voxloom voices list. Who has none is
# read by the voice for dialogue, or else by the narrator. Delete whom you do not need.
voices:
{voices}
# Other names of theirs, as in   Elizabeth: [Lizzy, Miss Bennet]
aliases:

# The voice of all quotations that are nobody else's
dialogue:

# What names alone don't tell, as in
#   - {{speaker: Elizabeth, text: I could easily forgive his pride}}
#   - {{speaker: Elizabeth, attribution: said her second daughter}}
#   - {{speaker: Elizabeth, chapter: 3, paragraph: 12}}
lines:

# true where a dash at the beginning of a paragraph opens speech
dashes: false
"""


def speaker_at(lines: Sequence[Line], at: int) -> str:
    """Who speaks the character at a place, "" for the narrator; lines are in order and apart."""
    place = bisect_right(lines, at, key=lambda line: line.start) - 1
    return lines[place].speaker if place >= 0 and at < lines[place].end else ""
