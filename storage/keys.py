"""Names for results: the hash of everything that decides them."""

import hashlib
import json
import re

_KEY = re.compile(r"[0-9a-f]{64}")


def content_key(content: object) -> str:
    """sha256 (hex) of the content's canonical JSON: sorted names, no spaces, UTF-8, no NaN."""
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hash_bytes(text.encode("utf-8"))


def hash_bytes(data: bytes) -> str:
    """sha256 (hex) of the bytes."""
    return hashlib.sha256(data).hexdigest()


def is_key(text: str) -> bool:
    """Whether the text is a key as content_key makes them."""
    return _KEY.fullmatch(text) is not None
