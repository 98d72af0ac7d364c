"""How books are read: python -m benchmarks.torture FOLDER prints a table of all EPUBs in it.

A book is read, or refused in a sentence; anything else is a defect, and the exit status is 1.
"""

import sys
import traceback
from collections import Counter
from pathlib import Path

from configs.errors import UserError
from tasks.epub_chapters import words_in
from tasks.read_book import read_book


def row(path: Path) -> str:
    """A table row on one book. Raises whatever reading it raises but UserError."""
    try:
        book = read_book(path)
    except UserError as error:
        return f"| `{path.name}` | | | refused: {str(error).removeprefix(path.name).strip()} |"
    words = words_in([block.text for chapter in book.chapters for block in chapter.blocks])
    counts: Counter[str] = Counter()
    for one in book.left_out:
        counts[one.reason] += one.words
    skipped = ", ".join(f"{reason} ({count})" for reason, count in sorted(counts.items()))
    return f"| `{path.name}` | {len(book.chapters)} | {words} | {skipped or '—'} |"


def main() -> int:
    """Print the table of the folder that the command line names."""
    broken = 0
    print("| book | chapters | words | not read, in words |\n|---|---|---|---|")
    for path in sorted(Path(sys.argv[1]).glob("*.epub")):
        try:
            print(row(path), flush=True)
        except Exception as error:
            broken += 1
            traceback.print_exc()
            print(f"| `{path.name}` | | | DEFECT: {type(error).__name__} |")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
