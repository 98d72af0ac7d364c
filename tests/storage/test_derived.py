"""Files that can be made again: kept whole, verified, collected."""

import os
import time

import pytest

from storage.derived import DerivedFiles
from storage.keys import content_key

KEY, OTHER = content_key(1), content_key(2)


def write(text: str):
    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return {"letters": len(text)}

    return make


def refuse(path):
    raise AssertionError(f"{path} was made again")


def test_a_file_is_made_once(tmp_path):
    files = DerivedFiles(tmp_path / "derived")
    assert files.get(KEY, ".txt") is None
    path, facts = files.make(KEY, ".txt", write("abc"))
    assert (path.read_text(), facts) == ("abc", {"letters": 3})
    assert files.make(KEY, ".txt", refuse) == (path, facts)
    assert files.get(KEY, ".other") is None
    assert files.size() > 3


@pytest.mark.parametrize("damage", ["file", "facts", "no facts", "no file"])
def test_what_is_damaged_is_made_again(tmp_path, damage):
    files = DerivedFiles(tmp_path)
    path, _ = files.make(KEY, ".txt", write("abc"))
    facts = path.with_name(path.name + ".json")
    if damage == "file":
        path.write_text("abd")
    elif damage == "facts":
        facts.write_text("{")
    else:
        (facts if damage == "no facts" else path).unlink()
    assert files.get(KEY, ".txt") is None
    files.make(KEY, ".txt", write("abc"))
    assert files.get(KEY, ".txt") == (path, {"letters": 3})


def test_a_maker_that_fails_leaves_nothing_to_be_taken(tmp_path):
    files = DerivedFiles(tmp_path)

    def fail(path):
        write("half")(path)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        files.make(KEY, ".txt", fail)
    assert files.get(KEY, ".txt") is None


def test_old_files_that_nobody_names_are_collected(tmp_path):
    files = DerivedFiles(tmp_path)
    kept, _ = files.make(KEY, ".txt", write("kept"))
    gone, _ = files.make(OTHER, ".txt", write("gone"))
    part = tmp_path / f".{OTHER}.txt.1234.part"
    part.write_text("half")
    assert files.gc({KEY}) == 0, "they are young"
    old = time.time() - 7200
    for path in tmp_path.iterdir():
        os.utime(path, (old, old))
    assert files.gc({KEY}) > 0
    assert kept.exists() and not gone.exists() and not part.exists()
    assert files.get(KEY, ".txt") is not None


def test_a_key_is_needed(tmp_path):
    with pytest.raises(ValueError, match="not a content key"):
        DerivedFiles(tmp_path).get("../x", ".txt")
