"""The folders and sidecar files that Audiobookshelf reads.

Author/Series/Vol 1 - 1994 - Title {Narrator}/, with the book's files, `metadata.json`, `desc.txt`
and `reader.txt` in it: https://www.audiobookshelf.org/docs#book-directory-structure
"""

import json
from collections.abc import Sequence
from pathlib import Path

from tasks.beside import write_bytes
from tasks.names import file_stem
from tasks.tags import GENRE, BookTags


def book_folder(tags: BookTags) -> Path:
    """The folder of a book, relative to that of the library."""
    volume = f"Vol {tags.series_part} - " if tags.series and tags.series_part else ""
    year = f"{tags.year} - " if tags.year else ""
    narrator = " {" + file_stem(tags.narrator, "a computer", 40).strip("{}") + "}"
    folder = Path(file_stem(tags.authors, "Unknown author"))
    if tags.series:
        folder /= file_stem(tags.series, "Series")
    # A folder's name may have 255 bytes.
    return folder / f"{volume}{year}{file_stem(tags.title, 'Untitled', 150)}{narrator}"


def write_sidecars(
    folder: Path, tags: BookTags, chapters: Sequence[tuple[str, float, float]]
) -> None:
    """Writes `metadata.json`, `desc.txt` and `reader.txt`.

    `chapters` are titles with their first and last second on the timeline of all the book's files.
    """
    series = f"{tags.series} #{tags.series_part}" if tags.series_part else tags.series
    metadata = {
        "tags": ["Synthetic narration"],
        "chapters": [
            {"id": number, "start": round(start, 3), "end": round(end, 3), "title": title}
            for number, (title, start, end) in enumerate(chapters)
        ],
        "title": tags.title,
        "subtitle": None,
        "authors": list(tags.author_names),
        "narrators": [tags.narrator],
        "series": [series] if tags.series else [],
        "genres": [GENRE],
        "publishedYear": tags.year or None,
        "publishedDate": None,
        "publisher": tags.publisher or None,
        "description": tags.summary,
        "isbn": tags.isbn or None,
        "asin": None,
        "language": tags.language or None,
        "explicit": False,
        "abridged": False,
    }
    text = json.dumps(metadata, ensure_ascii=False, indent=2) + "\n"
    write_bytes(folder / "metadata.json", text.encode())
    write_bytes(folder / "desc.txt", f"{tags.summary}\n".encode())
    write_bytes(folder / "reader.txt", f"{tags.narrator}\n".encode())
