import pytest

from configs.errors import UsageError, UserError
from storage.keys import hash_bytes
from storage.library import (
    TUNING,
    Clone,
    Library,
    ReferenceClip,
    StoredTuning,
    valid_name,
)

FACTS = {"seconds": 4.0, "sample_rate": 24000, "source": "me.wav", "added": "2026-01-01T00:00:00Z"}


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "voices")


def test_add_get_list_remove(library):
    assert list(library) == []
    assert "ada" not in library
    added = library.add("ada", b"sample", **FACTS)
    library.add("Ümit 2", b"other", **FACTS)
    assert library.get("ada") == added
    assert library.sample("ada").read_bytes() == b"sample"
    assert [voice.name for voice in library] == ["ada", "Ümit 2"]
    assert "ada" in library
    library.remove("ada")
    assert "ada" not in library
    with pytest.raises(UserError, match="no voice named ada; registered voices: Ümit 2"):
        library.get("ada")
    with pytest.raises(UserError, match="no voice named ada"):
        library.remove("ada")


def test_a_taken_name_is_refused_and_the_voice_stays(library):
    library.add("ada", b"sample", **FACTS)
    with pytest.raises(UserError, match="exists"):
        library.add("ada", b"other", **FACTS)
    assert library.sample("ada").read_bytes() == b"sample"
    assert len(list(library)) == 1


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../up", "a/b", "a\\b", "/abs", ".hidden", "-flag", "x" * 65, "a\n", "a\0b"],
)
def test_names_that_could_leave_the_folder_are_refused(library, name):
    with pytest.raises(UsageError, match="can't name a voice"):
        valid_name(name)
    assert name not in library
    for use in (library.get, library.remove, library.sample):
        with pytest.raises(UsageError):
            use(name)


def test_damage_is_told(library, tmp_path):
    library.add("ada", b"sample", **FACTS)
    (tmp_path / "voices/ada/sample.flac").write_bytes(b"changed")
    with pytest.raises(UserError, match="damaged"):
        library.sample("ada")
    (tmp_path / "voices/ada/voice.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        library.get("ada")
    library.remove("ada")
    assert list(library) == []


CLONE = Clone(
    consent="She said yes.",
    licence="",
    recordings=("me.wav",),
    seconds_used=30.0,
    dropped={"too quiet": 2.0},
    clips=(ReferenceClip("clip-00.flac", hash_bytes(b"clip"), "me.wav", 1.0, 4.0, "Hello."),),
    tuning=StoredTuning(hash_bytes(b"weights"), "a model", "0" * 64, "reference"),
    why_untuned="",
    metrics={"likeness_before": 0.5},
    curve=({"part": "s2", "step": 0, "train": None, "held_out": 0.5},),
)
FILES = {"clip-00.flac": b"clip", TUNING: b"weights"}


def test_a_cloned_voice_keeps_its_weights_and_facts(library, tmp_path):
    added = library.add("ada", b"sample", **FACTS, clone=CLONE, files=FILES)
    assert library.get("ada") == added
    assert library.tuning("ada").read_bytes() == b"weights"
    plain = library.add("bob", b"sample", **FACTS)
    assert library.tuning("bob") is None
    assert "clone" not in (tmp_path / "voices/bob/voice.json").read_text()
    assert added.content_hash != plain.content_hash
    (tmp_path / "voices/ada" / TUNING).write_bytes(b"changed")
    with pytest.raises(UserError, match="tuned weights of the voice ada are damaged"):
        library.tuning("ada")


def test_a_voice_is_replaced_only_if_asked(library):
    library.add("ada", b"sample", **FACTS, clone=CLONE, files=FILES)
    with pytest.raises(UserError, match="exists"):
        library.add("ada", b"other", **FACTS)
    library.add("ada", b"other", **FACTS, replace=True)
    assert library.sample("ada").read_bytes() == b"other"
    assert library.get("ada").clone is None
    assert [voice.name for voice in library] == ["ada"]
