"""Folders of recordings: what is found in each layout, and what is named and left out."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from model.training.readers import (
    UnreadableError,
    Utterance,
    load_audio,
    parse_manifest,
    parse_metadata,
    parse_transcripts,
    read_folder,
)

TONE = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
LINE = st.text(st.characters(exclude_characters="|\n\r", exclude_categories=["Cs"]))
WORDS = LINE.map(str.strip).filter(bool)


def sound(path: Path, audio: np.ndarray = TONE, rate: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate)


def test_ljspeech(tmp_path: Path) -> None:
    for name in ("LJ001-0001", "LJ001-0002"):
        sound(tmp_path / "wavs" / f"{name}.wav")
    lines = [
        "LJ001-0002|In 1455|in fourteen fifty-five",
        'LJ001-0001|He said: "Printing|',
        "LJ001-0003|It is missing.|It is missing.",
        "LJ001-0002|again|again",
        "|no name|",
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_folder(tmp_path)
    assert [(one.id, one.row["text"]) for one in found.utterances] == [
        ("LJ001-0001", 'He said: "Printing'),
        ("LJ001-0002", "in fourteen fifty-five"),
    ]
    assert found.skipped.keys() == {"LJ001-0003", "LJ001-0002", "metadata.csv, line 5"}
    assert "missing" in found.skipped["LJ001-0003"]


def test_libritts_and_librispeech(tmp_path: Path) -> None:
    sound(tmp_path / "84/121123/84_121123_000000.wav", rate=24_000)
    (tmp_path / "84/121123/84_121123_000000.normalized.txt").write_text("Go! Do you hear?\n")
    (tmp_path / "84/121123/84_121123_000000.original.txt").write_text("Go! D'you hear?\n")
    sound(tmp_path / "84/121550/84-121550-0000.flac")
    sound(tmp_path / "84/121550/84-121550-0001.flac")
    listing = tmp_path / "84/121550/84-121550.trans.txt"
    listing.write_text("84-121550-0000 BUT WITH FULL RAVISHMENT\n")
    found = read_folder(tmp_path)
    said = {one.id: (one.row.get("text"), one.book) for one in found.utterances}
    assert said == {
        "84_121123_000000": ("Go! Do you hear?", "121123"),
        "84-121550-0000": ("but with full ravishment", "121550"),
        "84-121550-0001": (None, "121550"),
    }
    assert not found.skipped


def test_manifest_with_files_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    sound(folder / "deep" / "a.flac")
    sound(tmp_path / "secret.wav")
    with tarfile.open(folder / "audio.tar", "w") as archive:
        for name in ("b", "unlisted"):
            data = io.BytesIO()
            soundfile.write(data, TONE, 16_000, format="WAV")
            member = tarfile.TarInfo(f"wav/{name}.wav")
            member.size = data.tell()
            data.seek(0)
            archive.addfile(member, data)
    (folder / "cut.tar").write_bytes((folder / "audio.tar").read_bytes()[:700])
    rows = [
        {"id": "b", "text": "Bee.", "book": "letters"},
        {"id": "a", "audio": "deep/a.flac"},
        {"id": "c", "audio": "../secret.wav"},
        {"id": "d"},
        {"id": 5},
        {"id": "e", "text": ["no text"]},
    ]
    lines = "\n".join([json.dumps(row) for row in rows] + ["{broken"])
    (folder / "manifest.jsonl").write_text(lines)
    found = read_folder(folder)
    assert [one.id for one in found.utterances] == ["a", "b"]
    assert found.utterances[1].book == "letters"
    assert found.skipped["c"] == "../secret.wav is outside the folder"
    assert "missing" in found.skipped["d"]
    assert {"manifest.jsonl, line 5", "manifest.jsonl, line 6", "manifest.jsonl, line 7"} <= (
        found.skipped.keys()
    )
    for one in found.utterances:
        audio, rate = load_audio(one)
        assert rate == 16_000
        assert np.abs(audio - TONE).max() < 1e-3


@pytest.mark.parametrize("content", [{}, {"metadata.csv": "a|b|c\n"}, {"manifest.jsonl": "{}\n"}])
def test_a_folder_without_clips_is_refused(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="holds no clip to train on"):
        read_folder(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        read_folder(tmp_path / "absent")


@pytest.mark.parametrize(
    ("audio", "why"),
    [
        (TONE[:500], "shorter than a tenth"),
        (np.zeros(8000, np.float32), "no sound"),
        (np.full(8000, np.nan, np.float32), "no numbers"),
    ],
)
def test_unusable_sound(tmp_path: Path, audio: np.ndarray, why: str) -> None:
    soundfile.write(tmp_path / "a.wav", audio, 16_000, subtype="FLOAT")
    with pytest.raises(UnreadableError, match=why):
        load_audio(Utterance("a", tmp_path / "a.wav", {}))


@given(st.binary(max_size=200))
def test_any_bytes_are_sound_or_unreadable(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(data)
        with pytest.raises(UnreadableError):
            load_audio(Utterance("a", path, {}))


@given(st.lists(st.tuples(WORDS, WORDS, LINE.map(str.strip))))
def test_metadata_comes_back(rows: list[tuple[str, str, str]]) -> None:
    found = list(parse_metadata("".join(f"{a}|{b}|{c}\n" for a, b, c in rows)))
    assert [(name, text) for _, name, text in found] == [(a, c or b) for a, b, c in rows]
    assert [number for number, _, _ in found] == list(range(1, len(rows) + 1))


@given(st.text())
def test_any_text_is_metadata(text: str) -> None:
    for number, name, said in parse_metadata(text):
        assert 1 <= number <= text.count("\n") + 1
        assert "|" not in name + said


@given(st.dictionaries(st.from_regex(r"[0-9]+-[0-9]+", fullmatch=True), WORDS))
def test_transcripts_come_back(rows: dict[str, str]) -> None:
    found = parse_transcripts("".join(f"{name} {text}\n" for name, text in rows.items()))
    assert found == {k: v.lower() if v.isupper() else v for k, v in rows.items()}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(JSON | st.fixed_dictionaries({"id": st.text(min_size=1), "text": st.text()})))
def test_any_json_is_a_row_or_named(values: list) -> None:
    found = list(parse_manifest(iter(json.dumps(value) for value in values)))
    assert len(found) == len(values)
    for (_, row), value in zip(found, values, strict=True):
        if row is not None:
            assert row == value
            assert isinstance(row["id"], str)
        else:
            assert (
                not isinstance(value, dict)
                or not (isinstance(value.get("id"), str) and value["id"])
                or not isinstance(value.get("text", ""), str)
            )


@given(st.text())
def test_any_line_is_a_row_or_named(line: str) -> None:
    for _, row in parse_manifest(iter([line])):
        assert row is None or isinstance(row["id"], str)
