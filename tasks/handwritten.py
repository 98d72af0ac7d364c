"""YAML files that users write by hand: every value is text as it stands there, "No" is a name."""

from pathlib import Path

import yaml

from configs.errors import UsageError

_LARGEST = 5_000_000  # bytes


def read_text(path: Path) -> str:
    """A text file; UsageError where it is none or too large."""
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is too large for a file that is written by hand")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error


def parse(path: Path, text: str) -> dict[str, object]:
    """The names and values of a YAML text from `path`: strings, lists and dicts of them.

    Raises UsageError where it is not YAML, or has no names.
    """
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # makes text only, and runs nothing
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not content:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UsageError(f"{path} must hold names and values, as in Weena: WEE-nah")
    return content
