"""File names made of titles."""

import re
import unicodedata


def file_stem(title: str, otherwise: str = "audiobook", most_bytes: int = 120) -> str:
    """A file name for a title: no separators, no control characters, at most so many bytes."""
    kept = "".join(" " if unicodedata.category(char).startswith("C") else char for char in title)
    kept = re.sub(r'[/\\:*?"<>|]+', " ", kept)
    kept = " ".join(kept.split()).strip(". ")
    return kept.encode()[:most_bytes].decode(errors="ignore").strip(". ") or otherwise
