"""What a book is to the rest of the house: chapters of blocks of text, and what it says of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """What the book itself says of the characters `start` to `end` of a block's text.

    `language` is a BCP 47 tag, `said` is what is said in their place (a ruby's reading, an alias of
    a lexicon), `phonemes` are in the `alphabet` "ipa" or "x-sampa", `role` is "letters" (said
    letter by letter), "word" (an acronym that is said as a word) or "roman" (a Roman numeral),
    `speaker` is who says it. "" where the book says nothing.
    """

    start: int
    end: int
    language: str = ""
    said: str = ""
    phonemes: str = ""
    alphabet: str = ""
    role: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Origin:
    """Where characters of a block's text stand in their document: `length` of them from `start` are
    those from `offset` on of its text node number `node`, counted in document order (see
    `tasks.epub_markup.text_nodes`). White space may be another there; the letters of a ligature
    have an origin each, which is the ligature."""

    start: int
    length: int
    node: int
    offset: int


@dataclass(frozen=True)
class Block:
    """One block of text: `kind` is "heading", "paragraph", "verse" (one line), "note" or
    "scene_break".

    `text` is as printed with white space folded; "" for a scene break. `document` is the file of
    the book that it stands in; `origins`, in order of `start`, say where exactly.
    """

    kind: str
    text: str
    remarks: tuple[Remark, ...] = ()
    document: str = ""
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A chapter as a listener counts them; its heading, where it has one, is its first block."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class LeftOut:
    """Something of the book that is not read: `reason` as in `tasks.matter`, where it stands (a
    file or a title in quotation marks, or ""), and about how many words it has."""

    reason: str
    place: str
    words: int


@dataclass(frozen=True)
class Book:
    """A whole book. `cover` is JPEG or PNG bytes with `cover_type` as media type, or None and "".

    `warnings` says in sentences what was left out and what was odd about the file; `left_out` says
    the former as data.
    """

    title: str
    authors: tuple[str, ...]
    language: str
    identifier: str
    publisher: str
    date: str
    description: str
    chapters: tuple[Chapter, ...]
    cover: bytes | None
    cover_type: str
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    series: str = ""
    series_part: str = ""
