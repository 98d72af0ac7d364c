"""The pronunciation lexicon: how the user wants words spoken. A YAML file, written by hand or by
`voxloom say-as`; it changes what is heard, never what is shown."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from configs.errors import UsageError, UserError
from model.text import Reading
from model.text.ipa import ipa_phones
from model.text.lexicon import dictionary, with_s
from model.text.respelling import respelled
from tasks.beside import write_bytes
from tasks.handwritten import parse, read_text

BOOK_FILE = "lexicon.yaml"
_LONGEST = 100  # characters of an entry, and of what is said for it
_MOST_PHONES = 60
_CASES = ("exact", "any")
_FIELDS = ("say", "phones", "ipa", "case", "language")
_VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())  # noqa: SIM905
_CONSONANTS = frozenset(
    "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()  # noqa: SIM905
)
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ\u0300-\u036f\s'’.‐‑·-]+")
# Scripts without spaces: an entry is found wherever its characters stand.
_UNSPACED = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af]")
_RUN = re.compile(r"[^\W_][\w\u0300-\u036f]*")
_PLURAL = re.compile(r"e?s(?![^\W_])", re.I)


@dataclass(frozen=True)
class Entry:
    """How a word, or several, shall be spoken: one of `say`, `phones` and `ipa` is given.

    `case` is "exact", "any" or "": then capitals of the entry must be there, or the text is all in
    capitals. `language` is a BCP 47 tag of the text that the entry is for, "" for any.
    """

    word: str
    say: str = ""
    phones: str = ""
    ipa: str = ""
    case: str = ""
    language: str = ""

    @cached_property
    def sounds(self) -> tuple[str, ...]:
        """Phones of the inventory; () for a `say` in another script, which is read in its place."""
        if self.phones:
            return tuple(self.phones.upper().split())
        if self.ipa:
            return ipa_phones(self.ipa)
        return respelled(self.say) if _LATIN.fullmatch(self.say) else ()

    def check(self) -> "Entry":
        """The entry itself; UsageError in one sentence where it can't be spoken."""
        word = self.word
        if not _RUN.match(word) or len(word) > _LONGEST:
            raise UsageError(
                f"{word!r} can't be looked for: an entry begins with a letter or a digit and has at"
                f" most {_LONGEST} characters"
            )
        if sum(map(bool, (self.say, self.phones, self.ipa))) != 1:
            raise UsageError(f"give one of say, phones and ipa for {word!r}")
        if self.case and self.case not in _CASES:
            raise UsageError(f"case of {word!r} is {self.case!r}; it may be {' or '.join(_CASES)}")
        if unknown := [phone for phone in self.sounds if self.phones and not _is_phone(phone)]:
            raise UsageError(
                f"{unknown[0]!r} for {word!r} is no phone of ARPAbet; vowels need their stress, as "
                "in HH ER0 M AY1 AH0 N IY0"
            )
        if self.ipa and not self.sounds:
            raise UsageError(f"{self.ipa!r} for {word!r} is not IPA that has a sound in English")
        foreign = self.say and not _LATIN.fullmatch(self.say)
        speakable = any(map(str.isalnum, self.say)) if foreign else bool(self.sounds)
        if not speakable:
            raise UsageError(f"{self.say!r} makes no sound, so {word!r} can't be said like that")
        if len(self.say) > _LONGEST or len(self.sounds) > _MOST_PHONES:
            raise UsageError(f"what is said for {word!r} is too long for a word or a name")
        return self

    def fits(self, printed: str, language: str) -> bool:
        """Whether the entry is for these characters of a text in a language."""
        tag, own = language.lower(), self.language.lower()
        if own and tag != own and not tag.startswith(own + "-"):
            return False
        printed, word = _plain(printed), _plain(self.word)
        if printed == word or self.case == "any":
            return True
        if self.case == "exact":
            return False
        return word == word.lower() or printed == word.upper()

    def reading(self, start: int, printed: str) -> Reading:
        """How these characters of a text are read."""
        end = start + len(printed)
        if not self.sounds:
            return Reading(start, end, self.say)
        # A respelling is for the ear; what is shown as spoken is its words, or those printed.
        words = self.say if self.say and "-" not in self.say else printed
        return Reading(start, end, words, self.sounds)


def _is_phone(phone: str) -> bool:
    return phone in _CONSONANTS or (phone[:-1] in _VOWELS and phone[-1] in "012")


def _plain(text: str) -> str:
    """Composed letters, straight apostrophes, plain hyphens and single spaces."""
    text = unicodedata.normalize("NFC", text)
    return " ".join(re.sub("[‐‑]", "-", re.sub("[’‘ʼ]", "'", text)).split())


@dataclass(frozen=True)
class Lexicon:
    """Entries by their word."""

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def readings(self, text: str, language_at: Callable[[int], str]) -> list[Reading]:
        """How the words of `text` that are entries are read, in order; none overlaps another.

        `language_at` tells the language of a character. Of several entries at one place the
        longest wins, then the one with the same capitals.
        """
        if not self.entries:
            return []
        found: list[Reading] = []
        at = 0
        for start, candidates in sorted(self._places(text), key=lambda place: place[0]):
            if start < at:
                continue
            matches = []
            for entry, pattern in candidates:
                match = pattern.match(text, start)
                if match and entry.fits(match.group(), language_at(start)):
                    if _PLURAL.match(text, match.end()) and not _has_plural(entry.word):
                        continue
                    matches.append((match.end(), _plain(match.group()) == entry.word, entry))
            if matches:
                at, _, entry = max(matches, key=lambda match: match[:2])
                found.append(entry.reading(start, text[start:at]))
        return found

    def _places(self, text: str) -> Iterator[tuple[int, "_Candidates"]]:
        by_word, unspaced = self._index
        for run in _RUN.finditer(text) if by_word else ():
            word = _key(run.group())
            keys = dict.fromkeys((word, word.removesuffix("s"), word.removesuffix("es")))
            if candidates := [entry for key in keys for entry in by_word.get(key, ())]:
                yield run.start(), candidates
        if unspaced:
            for match in _UNSPACED.finditer(text):
                if match.group() in unspaced:
                    yield match.start(), unspaced[match.group()]

    @cached_property
    def _index(self) -> tuple[dict[str, "_Candidates"], dict[str, "_Candidates"]]:
        """Entries by their first word, and by their first character for scripts without spaces."""
        by_word: dict[str, _Candidates] = {}
        unspaced: dict[str, _Candidates] = {}
        for entry in self.entries.values():
            run = _RUN.match(entry.word)
            assert run is not None  # as checked
            index, key = by_word, _key(run.group())
            if _UNSPACED.match(entry.word):
                index, key = unspaced, entry.word[0]
            index.setdefault(key, []).append((entry, _pattern(entry.word)))
        return by_word, unspaced


_Candidates = list[tuple[Entry, re.Pattern[str]]]


def _key(run: str) -> str:
    return unicodedata.normalize("NFC", run).casefold()


def _pattern(word: str) -> re.Pattern[str]:
    """What an entry looks like in print, with a plural or possessive ending behind it or not."""
    forms = dict.fromkeys(unicodedata.normalize(form, _plain(word)) for form in ("NFC", "NFD"))
    written = "|".join(
        re.escape(form).replace("'", "['’‘ʼ]").replace(r"\-", "[-‐‑]").replace(r"\ ", r"\s+")
        for form in forms
    )
    if _UNSPACED.match(word):
        return re.compile(f"(?:{written})")
    return re.compile(rf"(?:{written})(?=(?:['’]s|e?s)?(?![^\W_]))", re.I)


def _has_plural(word: str) -> bool:
    """Whether the entry with an "s" is its plural, and not a word of its own as in "hi", "his"."""
    last = word.split()[-1].lower()
    plural, singular = dictionary(last + "s"), dictionary(last)
    return plural is None or (singular is not None and plural == with_s(singular))


def load_lexicon(paths: Iterable[Path]) -> Lexicon:
    """The entries of several files, of which later ones win.

    Raises UsageError for a file that can't be read, naming the file and the entry.
    """
    entries: dict[str, Entry] = {}
    for path in paths:
        entries |= {entry.word: entry for entry in read_entries(path)}
    return Lexicon(entries)


def find_lexicon(everywhere: Path, out: Path | None = None, given: Path | None = None) -> Lexicon:
    """The user's lexicon for all books, and over it that of the book which is made in `out`: the
    file that is `given`, or the one in that folder."""
    own = given or (out / BOOK_FILE if out else None)
    files = [path for path in (everywhere, own) if path and (path.exists() or path == given)]
    return load_lexicon(files)


def read_entries(path: Path) -> list[Entry]:
    """The entries of a file in its order."""
    content = parse(path, read_text(path))
    entries = []
    for word, value in content.items():
        given = {"say": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise UsageError(f"{path}: give a respelling for {word!r}, or say, phones or ipa")
        if unknown := sorted(set(given) - set(_FIELDS)):
            raise UsageError(
                f"{path}: {unknown[0]!r} of {word!r} means nothing; there are {', '.join(_FIELDS)}"
            )
        given = {name: " ".join(value.split()) for name, value in given.items()}
        try:
            entries.append(Entry(_plain(word), **given).check())
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
    return entries


def write_entry(path: Path, word: str, entry: Entry | None) -> bool:
    """Puts an entry into a file, or takes the one of that word out; the rest stays as it is.

    Returns whether the word was in the file before. The file is written whole or not at all.
    """
    text = read_text(path) if path.exists() else ""
    found = _lines(text) if parse(path, text) else []
    places = [(key, span) for key, span in found if _plain(key) == _plain(word)]
    if parse(path, text) and not found:
        raise UserError(f"{path} is all in one pair of braces; give each word a line of its own")
    if entry is None and not places:
        return False
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    new = [] if entry is None else [_line(entry)]
    for _, (start, end) in reversed(places):
        while end - 1 > start and not lines[end - 1].partition("#")[0].strip():
            end -= 1  # blank lines and comments belong to what follows
        lines[start:end], new = new, []
    write_bytes(path, "".join([*lines, *new]).encode())
    return bool(places)


def _lines(text: str) -> list[tuple[str, tuple[int, int]]]:
    """The top-level words of a YAML text, and the lines that each takes."""
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return []
    spans = []
    for key, value in root.value:
        end = value.end_mark
        spans.append((key.value, (key.start_mark.line, end.line + bool(end.column))))
    return spans


def _line(entry: Entry) -> str:
    given = {name: value for name in _FIELDS if (value := getattr(entry, name))}
    value = entry.say if given.keys() == {"say"} else given
    flow = False if isinstance(value, str) else None  # braces around several things said
    line: str = yaml.safe_dump(
        {entry.word: value},
        default_flow_style=flow,
        allow_unicode=True,
        sort_keys=False,
        width=10_000,
    )
    return line
