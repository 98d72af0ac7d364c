from typing import get_args

import pytest
from pydantic import ValidationError

from configs.errors import UsageError
from configs.presets import (
    DubMastered,
    Mastered,
    load_dub_presets,
    load_presets,
    output_options,
)


def test_the_shipped_presets_are_valid():
    presets = load_presets()
    assert presets.voice.top_k == 1
    assert presets.output.formats == ("m4b", "srt", "vtt")
    assert (presets.output.loudness, presets.output.credits) == (-19.0, False)
    assert presets.pauses.clause < presets.pauses.sentence < presets.pauses.paragraph
    with pytest.raises(ValidationError):
        presets.voice.top_k = 3


def test_a_file_changes_only_what_it_names(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("voice: {steps: 16}\npauses:\n  heading: 2\n")
    presets, shipped = load_presets(file), load_presets()
    assert presets.voice == shipped.voice.model_copy(update={"steps": 16})
    assert presets.pauses.heading == 2.0
    assert presets.output == shipped.output


def test_an_empty_file_changes_nothing(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("# nothing\n")
    assert load_presets(file) == load_presets()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("voice: {stepz: 3}", "voice.stepz"),
        ("voice: {steps: 0}", "voice.steps"),
        ("voice: {steps: '8'}", "voice.steps"),
        ("voice: {top_p: .nan}", "voice.top_p"),
        ("output: {formats: [ass]}", "output.formats"),
        ("output: {formats: []}", "output.formats"),
        ("output: {mastering: loud}", "output.mastering"),
        ("output: 3", "output"),
        ("output: {layout: audiobookshelf, formats: [m4b, mp3]}", "one kind of audio file"),
        ("voices: {}", "voices"),
        ("pauses: 3", "pauses"),
        ("- a list", "names and values"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path, content, words):
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=words) as caught:
        load_presets(file)
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="can't be read"):
        load_presets(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="can't be read"):
        load_presets(tmp_path / "binary.yaml")


def test_official_models_have_their_own_defaults(tmp_path):
    assert load_presets(official="v2").voice.model_dump() == {
        "top_k": 15,
        "top_p": 1.0,
        "temperature": 1.0,
        "repetition_penalty": 1.35,
        "steps": 32,
        "guidance": 0.0,
        "speed": 1.0,
    }
    assert load_presets(official="v4").voice.steps == 8
    (tmp_path / "mine.yaml").write_text("voice: {top_k: 3}\n")
    assert load_presets(tmp_path / "mine.yaml", official="v4").voice.top_k == 3


def test_mastering_presets_change_what_the_user_does_not(tmp_path):
    acx = load_presets(output={"mastering": "acx"}).output
    assert (acx.loudness, acx.credits, acx.sound) == (-19.0, True, ("m4b", "mp3"))
    file = tmp_path / "mine.yaml"
    file.write_text("output: {mastering: podcast, peak_db: -2}\n")
    assert load_presets(file).output.loudness == -16.0
    assert load_presets(file).output.peak_db == -2.0
    assert load_presets(file, output={"mastering": "ebu"}).output.loudness == -23.0
    assert load_presets(output={"mastering": "none"}).output.loudness is None
    for name in get_args(Mastered):
        assert load_presets(output={"mastering": name}).output.mastering == name


def test_options_of_the_command_line():
    assert output_options("", "", "", None) == {}
    assert output_options(" MP3,lrc, mp3", "acx", "audiobookshelf", False) == {
        "formats": ("mp3", "lrc"),
        "mastering": "acx",
        "layout": "audiobookshelf",
        "credits": False,
    }
    for wrong in (("wav", "", ""), ("", "loud", ""), ("", "", "plex")):
        with pytest.raises(UsageError, match="but not"):
            output_options(*wrong, None)


def test_a_dubbing_preset_changes_what_the_user_does_not(tmp_path):
    shipped = load_dub_presets().dubbing
    assert (shipped.loudness, shipped.measured, shipped.peak_db) == (-23.0, "programme", -1.0)
    assert shipped.under("voice-over") > shipped.under("dub")
    streaming = load_dub_presets(mastering="streaming").dubbing
    assert (streaming.loudness, streaming.measured, streaming.peak_db) == (-27.0, "dialogue", -2.0)
    file = tmp_path / "mine.yaml"
    file.write_text("dubbing: {mastering: streaming, peak_db: -3.0}")
    assert load_dub_presets(file).dubbing == streaming.model_copy(update={"peak_db": -3.0})
    assert load_dub_presets(file, mastering="ebu").dubbing.loudness == -23.0
    for mastering in get_args(DubMastered):
        assert load_dub_presets(mastering=mastering).dubbing.mastering == mastering


def test_one_file_serves_books_and_dubbing(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("voice: {steps: 16}\noutput: {loudness: -20.0}\ndubbing: {hold: 1.0}")
    assert load_presets(file).output.loudness == -20.0
    assert load_dub_presets(file).dubbing.hold == 1.0
    assert load_presets(file).voice == load_dub_presets(file).voice
    assert load_dub_presets(official="v4").voice.steps == 8


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("dubbing: {under: -3}", "dubbing.under"),
        ("dubbing: {mastering: acx}", "dubbing.mastering"),
        ("dubbing: 3", "dubbing"),
        ("dubs: {}", "dubs"),
    ],
)
def test_a_wrong_dubbing_section_is_named(tmp_path, content, words):
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=words):
        load_dub_presets(file)


def test_an_unknown_loudness_is_named():
    with pytest.raises(UsageError, match="--loudness knows ebu, streaming, but not 'loud'"):
        load_dub_presets(mastering="loud")
