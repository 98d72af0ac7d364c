"""What is mended beside a book's takes, as the command line keeps it: the lexicon and the cast of a
book or dub, and the lines of a dub that are made again."""

from pathlib import Path
from typing import Any

import yaml
from fastapi import HTTPException

from configs.errors import UserError
from flows.dub_redo import MadeDub
from storage.library import Library
from studio.models import CastMember, LexiconEntry
from tasks.beside import write_bytes
from tasks.casting import DIALOGUE, draft_cast, load_cast
from tasks.dub_cast import load_dub_cast
from tasks.handwritten import parse, read_text
from tasks.lexicon import BOOK_FILE, Entry, read_entries, write_entry
from tasks.read_book import Book

_LONGEST_NAME = 100  # characters


def lexicon(out: Path) -> list[LexiconEntry]:
    """The entries of a book's own lexicon."""
    path = out / BOOK_FILE
    entries = read_entries(path) if path.exists() else []
    return [
        LexiconEntry.model_construct(
            word=one.word,
            say=one.say,
            phones=one.phones,
            ipa=one.ipa,
            case=one.case,
            language=one.language,
        )
        for one in entries
    ]


def say_as(out: Path, entry: LexiconEntry) -> None:
    """Sets how a word of the book is spoken."""
    given = {name: " ".join(value.split()) for name, value in entry.model_dump().items()}
    checked = Entry(**given).check()
    write_entry(out / BOOK_FILE, checked.word, checked)


def forget_word(out: Path, word: str) -> None:
    """Takes a word out of the book's lexicon; UserError where it is not in it."""
    word = " ".join(word.split())
    if not write_entry(out / BOOK_FILE, word, None):
        raise UserError(f"{word} is not in the lexicon of this book")


def book_cast(path: Path, book: Book) -> list[CastMember]:
    """Who speaks in a book: those of its cast file, or whom a first one would name."""
    content = _content(path, draft_cast(book))
    voices = load_cast(path).voices if path.exists() else {}
    names = [*(content.get("voices") or {}), DIALOGUE]
    return [CastMember(speaker=name, voice=_name(voices.get(name, ""))) for name in names]


def set_book_cast(path: Path, book: Book, members: list[CastMember], library: Library) -> None:
    """Gives speakers registered voices; what else the cast file says stays."""
    _check(members, library)
    content = _content(path, draft_cast(book))
    voices = dict(content.get("voices") or {})
    for member in members:
        if member.speaker == DIALOGUE:
            content[DIALOGUE] = member.voice
        else:
            voices[member.speaker] = member.voice
    content["voices"] = voices
    _write(path, content)


def dub_cast(path: Path) -> list[CastMember]:
    """Who speaks in a dub; "" is the voice of all who have none of their own."""
    if not path.exists():
        return []
    cast = load_dub_cast(path)
    speakers = _content(path, "").get("speakers") or {}
    voices = {"": cast.default} | {name: cast.voices.get(name, "") for name in speakers}
    return [CastMember(speaker=name, voice=_name(voice)) for name, voice in voices.items()]


def set_dub_cast(path: Path, members: list[CastMember], library: Library) -> None:
    """Gives the speakers of a dub registered voices; what else the cast file says stays."""
    _check(members, library)
    content = _content(path, "speakers:\n")
    speakers = dict(content.get("speakers") or {})
    for member in members:
        said = speakers.get(member.speaker)
        if not member.speaker:
            content["default"] = member.voice
        elif isinstance(said, dict):
            speakers[member.speaker] = said | {"voice": member.voice}
        else:
            speakers[member.speaker] = member.voice
    content["speakers"] = speakers
    _write(path, content)


def choose_reading(out: Path, first: int, place: str, seed: int) -> bool:
    """Has a dub's line made from a seed, `first` being the order's; whether that is a change."""
    dub = MadeDub(out, first)
    chapter, line = map(int, place.split(":"))
    if chapter != 1 or not 1 <= line <= len(dub.lines):
        raise HTTPException(404, "There is no such line.")
    return dub.choose(line - 1, seed, undo=seed == first)


def _check(members: list[CastMember], library: Library) -> None:
    for member in members:
        if len(member.speaker) > _LONGEST_NAME or not member.speaker.isprintable():
            raise UserError("That is no name of a speaker")
        if member.voice and member.voice not in library:
            raise UserError(f"There is no registered voice named {member.voice}")


def _content(path: Path, otherwise: str) -> dict[str, Any]:
    return parse(path, read_text(path) if path.exists() else otherwise)


def _write(path: Path, content: dict[str, Any]) -> None:
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=10_000)
    write_bytes(path, text.encode())


def _name(voice: str) -> str:
    """A registered voice, or the name of a file without its folder."""
    return Path(voice).name
