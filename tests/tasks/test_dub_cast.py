"""The cast file of a dub: written once, edited by the user, never written over."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UsageError
from tasks.dub_cast import SKIPPED, cast_subtitles, load_dub_cast, write_cast
from tasks.dub_types import DubCast, SubtitleCue, Subtitles


def subtitles(*said: tuple[str, str]) -> Subtitles:
    """Subtitles of (speaker, text)."""
    cues = [
        SubtitleCue(number, 61_000 * number, 61_000 * number + 1000, text, text, who, number + 1)
        for number, (who, text) in enumerate(said)
    ]
    return Subtitles(tuple(cues), (), "srt", "utf-8", "en")


FILM = subtitles(
    ("Popeye", "Well, blow me down!"),
    ("Olive: Oyl", "Oh, Popeye!"),
    ("", "Once upon a time."),
    ("Popeye", "I am what I am and that is all that I am, and more than that I do not want."),
    ("Bluto", ""),
)


def test_the_first_run_writes_who_speaks(tmp_path: Path) -> None:
    path = tmp_path / "cast.yaml"
    assert write_cast(path, FILM, "popeye.srt") == ["Popeye", "Olive: Oyl"]
    assert path.read_text().partition("\n")[0].startswith("# Who speaks in popeye.srt.")
    assert path.read_text().endswith(
        """# One line has no name: the default voice speaks them.

default:

speakers:
  # 2 lines, from 0:00:00: Well, blow me down!
  Popeye:
    voice:
  # 1 line, from 0:01:01: Oh, Popeye!
  'Olive: Oyl':
    voice:
"""
    )
    assert load_dub_cast(path) == DubCast()
    assert cast_subtitles(FILM, load_dub_cast(path)) == FILM


def test_what_the_user_writes(tmp_path: Path) -> None:
    path = tmp_path / "cast.yaml"
    (tmp_path / "p.wav").write_bytes(b"")
    path.write_text(
        """
default: ada
speakers:
  Popeye: {voice: p.wav}
  POPEYE: {as: Popeye, skip: false}
  SPEAKER_01:
    as: POPEYE
  Bluto: ben
  SPEAKER_02: {as: Nobody's friend, voice: carl}
  Crowd: {skip: yes}
  No:
"""
    )
    cast = load_dub_cast(path)
    assert cast.default == "ada"
    assert cast.voices == {
        "Popeye": str(tmp_path / "p.wav"),
        "Bluto": "ben",
        "Nobody's friend": "carl",
    }
    said = subtitles(
        ("POPEYE", "One."), ("SPEAKER_01", "Two."), ("Crowd", "Three."), ("Else", "Four."), ("", "")
    )
    cues = cast_subtitles(said, cast).cues
    assert [cue.speaker for cue in cues] == ["Popeye", "Popeye", "Crowd", "Else", ""]
    assert [cue.text for cue in cues] == ["One.", "Two.", "", "Four.", ""]
    assert [cue.why for cue in cues] == ["", "", SKIPPED, "", ""]


def test_all_lines_of_somebody_who_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "cast.yaml"
    path.write_text("speakers:\n  A: {skip: true}\n  B: {as: A}\n  C: {as: D, skip: true}\n  D:\n")
    cues = cast_subtitles(
        subtitles(("A", "a"), ("B", "b"), ("C", "c"), ("D", "d")), load_dub_cast(path)
    ).cues
    assert [cue.text for cue in cues] == ["", "", "", "d"]


@pytest.mark.parametrize(
    "edited",
    [
        "speakers:\n  Popeye: p.wav  # me\n# the end\n",
        "# mine\nspeakers: # all\n      Popeye:\n        voice: p.wav\n        # skip: true\n",
        "default: ada\nspeakers:\ndefault: ada",
        "default: ada",
        "",
        "speakers:\r\n  Popeye: p.wav\r\n",
    ],
)
def test_new_speakers_are_added_and_nothing_is_lost(tmp_path: Path, edited: str) -> None:
    path = tmp_path / "cast.yaml"
    path.write_bytes(edited.encode())
    before = load_dub_cast(path)
    added = write_cast(path, FILM, "popeye.srt")
    assert added == ([] if before.voices else ["Popeye"]) + ["Olive: Oyl"]
    written = path.read_bytes().decode()
    kept = edited.splitlines()
    assert [line for line in written.splitlines() if line in kept] == kept
    assert load_dub_cast(path) == before
    assert write_cast(path, FILM, "popeye.srt") == []
    assert path.read_bytes().decode() == written


def test_a_file_that_can_not_be_added_to_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cast.yaml"
    for text in ("speakers: {Popeye: p.wav}\n", "{speakers: {Popeye: p.wav}}\n", "speakers: [A]\n"):
        path.write_text(text)
        with pytest.raises(UsageError, match="speakers"):
            write_cast(path, FILM, "popeye.srt")
        assert path.read_text() == text


def test_the_example_of_the_docs(root: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (root / "docs/dubbing.md").read_text(), re.S)
    (tmp_path / "cast.yaml").write_text(example)
    cast = load_dub_cast(tmp_path / "cast.yaml")
    assert cast.voices == {"Popeye": "recordings/popeye.wav", "Olive": "olive"}
    assert (cast.people, cast.skipped) == ({"OLIVE OYL": "Olive"}, {"Crowd"})


def test_nobody_has_a_name(tmp_path: Path) -> None:
    assert write_cast(tmp_path / "cast.yaml", subtitles(("", "Hello.")), "a.srt") == []
    assert not (tmp_path / "cast.yaml").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("voices:\n  A: a.wav\n", "voices"),
        ("default: [a, b]\n", "default"),
        ("speakers: [A]\n", "speakers"),
        ("speakers:\n  A: {vioce: a.wav}\n", "vioce"),
        ("speakers:\n  A: {voice: {b: c}}\n", "'A'"),
        ("speakers:\n  A: {skip: perhaps}\n", "skip"),
        ("speakers:\n  A: {as: B}\n  B: {as: A}\n", "circle"),
        ("speakers:\n  A: {as: B, voice: a.wav}\n  B: b.wav\n", "two voices"),
        ("speakers:\n  - : A\n\t", "YAML"),
    ],
)
def test_what_a_file_can_not_mean(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "cast.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load_dub_cast(path)


@given(st.lists(st.tuples(st.text(max_size=120), st.text(min_size=1, max_size=80)), max_size=6))
def test_any_name_is_written_and_found_again(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("cast") / "cast.yaml"
    added = write_cast(path, subtitles(*said), "a\nb.srt")
    names = {
        " ".join("".join(c if c.isprintable() else " " for c in who).split()) for who, _ in said
    }
    assert set(added) == {name for name in names if name and len(name) <= 100}
    if added:
        assert load_dub_cast(path) == DubCast()
        assert write_cast(path, subtitles(*said, ("Somebody new", "Hello.")), "a.srt") in (
            ["Somebody new"],
            [],
        )
