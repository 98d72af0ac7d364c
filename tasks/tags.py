"""Tags of delivered files: what players show of a book, and that a computer reads it."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mutagen
from mutagen import id3
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, AtomDataType, MP4Cover, MP4FreeForm
from mutagen.oggopus import OggOpus

from tasks.chapters import clean_title
from tasks.cover import Cover

if TYPE_CHECKING:
    from tasks.read_book import Book

GENRE = "Audiobook"
_AUDIOBOOK = 2  # iTunes' media kind
_FRONT_COVER = 3


@dataclass(frozen=True)
class BookTags:
    """What every file of a book says of it; "" where the book does not know.

    `narrator` is who players show as the reader; `notice` says that it is a computer.
    """

    title: str
    author_names: tuple[str, ...]
    narrator: str
    date: str
    publisher: str
    language: str
    description: str
    isbn: str
    identifier: str
    model: str
    notice: str
    series: str = ""
    series_part: str = ""

    @property
    def authors(self) -> str:
        return ", ".join(self.author_names)

    @property
    def summary(self) -> str:
        """The description, and who, or what, is reading."""
        return f"{self.description}\n\n{self.notice}".strip()

    @property
    def year(self) -> str:
        found = re.match(r"\d{4}", self.date)
        return found[0] if found else ""

    @property
    def freeform(self) -> dict[str, str]:
        """What has no tag of its own in most formats."""
        named = {
            "LANGUAGE": self.language,
            "PUBLISHER": self.publisher,
            "ISBN": self.isbn,
            "IDENTIFIER": "" if self.isbn else self.identifier,
            "SERIES": self.series,
            "SERIES-PART": self.series_part,
            "NARRATION": "synthetic",
            "VOICE": self.narrator,
            "MODEL": self.model,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Part:
    """A file of a book that consists of several: its title and its number among them."""

    title: str
    number: int
    total: int


def book_tags(book: "Book", otherwise: str, voice_name: str, model_name: str) -> BookTags:
    """The tags of a book; `otherwise` is its title where it has none."""
    isbn = _isbn(book.identifier)
    return BookTags(
        title=clean_title(book.title) or otherwise,
        author_names=tuple(filter(None, map(clean_title, book.authors))),
        narrator=_storable(voice_name),
        date=_storable(book.date),
        publisher=_storable(book.publisher),
        language=_storable(book.language),
        description=_storable(book.description).strip(),
        isbn=isbn,
        identifier=_storable(book.identifier),
        model=_storable(model_name),
        notice=_storable(synthetic_notice(voice_name, model_name)),
        series=clean_title(book.series),
        series_part=clean_title(book.series_part),
    )


def synthetic_notice(voice_name: str, model_name: str) -> str:
    """The sentence that says who, or what, is reading."""
    return (
        f"The narration is synthetic: read by a computer in the voice “{voice_name}”, made with "
        f"Voxloom and the model {model_name}."
    )


def write_mp4_tags(path: Path, tags: BookTags, cover: Cover | None) -> None:
    """iTunes' atoms of an `.m4b`."""
    atoms = {
        "©nam": tags.title,
        "©alb": tags.title,
        "©ART": tags.authors,
        "aART": tags.authors,
        "©wrt": tags.narrator,  # players show the composer as the narrator
        "©gen": GENRE,
        "©day": tags.date,
        "©cmt": tags.notice,
        "desc": tags.summary,
    }
    with _system_errors():
        audio = MP4(path)
        for key, value in atoms.items():
            if value:
                audio[key] = [value]
        audio["stik"] = [_AUDIOBOOK]
        for name, value in tags.freeform.items():
            audio[f"----:com.apple.iTunes:{name}"] = [
                MP4FreeForm(value.encode(), dataformat=AtomDataType.UTF8)
            ]
        if cover:
            png = cover.media_type == "image/png"
            kind = MP4Cover.FORMAT_PNG if png else MP4Cover.FORMAT_JPEG
            audio["covr"] = [MP4Cover(cover.data, imageformat=kind)]
        audio.save()


def write_id3_tags(path: Path, tags: BookTags, part: Part, cover: Cover | None) -> None:
    """ID3v2.3 of an MP3 file, which has no UTF-8: texts are UTF-16."""
    texts = {
        "TIT2": part.title,
        "TALB": tags.title,
        "TPE1": tags.authors,
        "TPE2": tags.authors,
        "TCOM": tags.narrator,
        "TRCK": f"{part.number}/{part.total}",
        "TCON": GENRE,
        "TYER": tags.year,
    }
    with _system_errors():
        frames = id3.ID3()
        for name, value in texts.items():
            if value:
                frames.add(getattr(id3, name)(encoding=id3.Encoding.UTF16, text=[value]))
        comment = {"encoding": id3.Encoding.UTF16, "lang": "eng", "desc": ""}
        frames.add(id3.COMM(**comment, text=[tags.notice]))
        for name, value in {**tags.freeform, "DESCRIPTION": tags.summary}.items():
            frames.add(id3.TXXX(encoding=id3.Encoding.UTF16, desc=name, text=[value]))
        if cover:
            frames.add(
                id3.APIC(
                    encoding=id3.Encoding.LATIN1,
                    mime=cover.media_type,
                    type=_FRONT_COVER,
                    desc="",
                    data=cover.data,
                )
            )
        frames.save(path, v1=id3.ID3v1SaveOptions.REMOVE, v2_version=3)


def write_vorbis_comments(
    path: Path, kind: str, tags: BookTags, part: Part, cover: Cover | None
) -> None:
    """Vorbis comments of a file of `kind` "flac" or "opus"."""
    comments = {
        "TITLE": part.title,
        "ALBUM": tags.title,
        "ARTIST": tags.authors,
        "ALBUMARTIST": tags.authors,
        "COMPOSER": tags.narrator,
        "TRACKNUMBER": str(part.number),
        "TRACKTOTAL": str(part.total),
        "GENRE": GENRE,
        "DATE": tags.date,
        "COMMENT": tags.notice,
        "DESCRIPTION": tags.summary,
        **tags.freeform,
    }
    with _system_errors():
        audio: FLAC | OggOpus = FLAC(path) if kind == "flac" else OggOpus(path)
        audio.delete()
        if audio.tags is None:
            audio.add_tags()
        for name, value in comments.items():
            if value:
                audio[name] = [value]
        if cover:
            picture = Picture()
            picture.type, picture.mime, picture.data = _FRONT_COVER, cover.media_type, cover.data
            if isinstance(audio, FLAC):
                audio.add_picture(picture)
            else:
                block = base64.b64encode(picture.write()).decode("ascii")
                audio["METADATA_BLOCK_PICTURE"] = [block]
        audio.save()


@contextmanager
def _system_errors() -> Iterator[None]:
    """mutagen wraps what the system said of a write; here it comes out again."""
    try:
        yield
    except mutagen.MutagenError as error:
        if error.args and isinstance(error.args[0], OSError):
            raise error.args[0] from error
        raise


def _storable(value: str) -> str:
    """Without NUL and lone surrogates, which end a tag early or cannot be written."""
    return value.replace("\0", "").encode(errors="ignore").decode()


def _isbn(identifier: str) -> str:
    digits = re.sub(r"^(urn:)?isbn:|[\s-]", "", identifier.strip().lower())
    return digits.upper() if re.fullmatch(r"(97[89])?\d{9}[\dx]", digits) else ""
