"""The voice benchmark: what counts as an error, whose voice it is, which files belong together."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("jiwer", reason="needs the bench extra")
pytest.importorskip("whisper_normalizer", reason="needs the bench extra")

from benchmarks import judges, voice
from benchmarks.clips import Output, Sample, read_clips, read_lines, write_clips
from benchmarks.recording import read_recording, read_text
from benchmarks.scores import (
    NO_ERRORS,
    Errors,
    character_errors,
    cosines,
    normalise,
    similarities,
    word_errors,
)
from configs.errors import UsageError, UserError
from tasks.ffmpeg import run_ffmpeg


@pytest.mark.parametrize(
    ("printed", "heard"),
    [
        ("Twenty-one men, at three o’clock.", "21 men at three o'clock"),
        ("“I can’t explain myself,” said Alice.", "I can't explain myself said Alice"),
        ("The centre of the colour — grey!", "the center of the color, gray"),
        ("Mr. Darcy’s sister", "Mister Darcy's sister"),
        ("It is wrong to-day, to-morrow and to-night", "It is wrong today, tomorrow and tonight"),
        ("as I used—and I don’t", "as I used and I do not"),
        ("Well! (she thought) what else?", "Well, she thought, what else?"),
        ("Wait… she began, but ...", "Wait, she began, but"),
        ("In 1801 I returned", "In eighteen hundred and one I returned"),
    ],
)
def test_spelling_is_no_error(printed: str, heard: str) -> None:
    assert normalise(printed) == normalise(heard)


@pytest.mark.parametrize(
    ("printed", "heard"),
    [("the Cat grinned", "the hat grinned"), ("thirteen", "thirty"), ("cats could", "cat could")],
)
def test_other_words_stay_other_words(printed: str, heard: str) -> None:
    assert normalise(printed) != normalise(heard)


def test_word_errors_are_told_apart() -> None:
    errors = word_errors(
        "The cat only grinned when it saw Alice.", "a cat grinned when it saw her Alice"
    )
    assert errors == Errors(substituted=1, deleted=1, inserted=1, length=8)
    assert errors.rate == 3 / 8


def test_nothing_heard_is_all_deleted() -> None:
    assert word_errors("Keep your temper.", "") == Errors(0, 3, 0, 3)
    assert word_errors("Keep your temper.", " ... ").rate == 1.0


def test_a_repetition_costs_more_than_the_whole_line() -> None:
    assert word_errors("Keep your temper", "keep your temper " * 3).rate == 2.0


def test_character_errors_count_letters() -> None:
    assert character_errors("The cat.", "the hat") == Errors(1, 0, 0, 7)


def test_a_line_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no word"):
        word_errors("...", "something")


def test_lines_weigh_by_their_length() -> None:
    total = sum([Errors(1, 0, 0, 1), Errors(0, 0, 0, 9)], NO_ERRORS)
    assert total.rate == 0.1


WORDS = st.lists(st.sampled_from(["cat", "hare", "queen", "tea", "king"]), min_size=1, max_size=12)


@given(WORDS, WORDS)
def test_errors_are_a_distance(one: list[str], other: list[str]) -> None:
    there = word_errors(" ".join(one), " ".join(other))
    back = word_errors(" ".join(other), " ".join(one))
    assert there.count == back.count == _levenshtein(one, other)
    assert (there.count == 0) == (one == other)


def _levenshtein(one: list[str], other: list[str]) -> int:
    """The textbook's table, to check the library against."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def test_cosines_of_known_angles() -> None:
    many = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    found = cosines(np.array([5.0, 0.0]), many)
    np.testing.assert_allclose(found, [1.0, 0.0, np.sqrt(0.5), -1.0, 0.0], atol=1e-12)


def test_similarity_matrix_has_samples_down_and_outputs_across() -> None:
    alice, hare = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    half = np.array([0.6, 0.8])
    found = similarities({"alice": alice, "hare": hare}, {"hare": [hare, half]})
    assert found.samples == ("alice", "hare")
    assert found.outputs == ("hare",)
    np.testing.assert_allclose(found.values, [[0.3], [0.9]])
    np.testing.assert_allclose(found.lowest, [[0.0], [0.8]])
    assert found.own("hare") == pytest.approx(0.9)
    name, value = found.nearest_other("hare") or ("", 0.0)
    assert (name, value) == ("alice", pytest.approx(0.3))


def test_a_single_sample_has_no_other() -> None:
    one = np.ones(3)
    assert similarities({"a": one}, {"a": [one]}).nearest_other("a") is None


def test_alice_is_fifty_sentences() -> None:
    lines = read_lines(voice.ALICE)
    assert len(lines) == len(set(lines)) == 50
    assert all(4 <= len(line.split()) <= 25 for line in lines)
    assert all(line.count("“") == line.count("”") for line in lines)


def test_lines_are_cut_to_the_number_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\n\n  two \nthree\n", "utf-8")
    assert read_lines(path, 2) == ("one", "two")
    with pytest.raises(UsageError, match="only 3 lines"):
        read_lines(path, 4)


def _write_wavs(folder: Path, count: int, sample_rate: int = 24000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        soundfile.write(folder / f"{number:03}.wav", np.full(100, 0.1 * number), sample_rate)


def test_wavs_belong_to_the_first_voice_or_to_their_folders(tmp_path: Path) -> None:
    _write_wavs(tmp_path / "flat", 3)
    (flat,) = read_clips(tmp_path / "flat", ["a", "b"], 2)
    assert flat.voice == "a"
    assert [round(float(clip[0]), 2) for clip in flat.clips] == [0.0, 0.1]
    _write_wavs(tmp_path / "each" / "b", 2)
    (own,) = read_clips(tmp_path / "each", ["a", "b"], 2)
    assert own.voice == "b"


def test_too_few_wavs_are_refused(tmp_path: Path) -> None:
    _write_wavs(tmp_path, 2)
    with pytest.raises(UserError, match="2 WAVs for 3 lines"):
        read_clips(tmp_path, ["a"], 3)


def test_kept_clips_are_read_again(tmp_path: Path) -> None:
    clip = np.linspace(-0.5, 0.5, 240, dtype=np.float32)
    write_clips([Output("a", (clip, clip / 2), 24000)], tmp_path)
    (found,) = read_clips(tmp_path, ["a"], 2)
    assert found.sample_rate == 24000
    np.testing.assert_allclose(found.clips[1], clip / 2, atol=1e-4)


def _judged(name: str, rates: list[tuple[int, int]]) -> voice.Judged:
    lines = tuple(
        voice.Line("x", "y", Errors(wrong, 0, 0, of), Errors(wrong, 0, 0, of), 1.0, 3.0)
        for wrong, of in rates
    )
    clips = tuple(np.zeros(24000, np.float32) for _ in rates)
    embeddings = tuple(np.eye(2)[0] for _ in rates)
    return voice.Judged(Output(name, clips, 24000, (1,), 0.5), lines, embeddings)


def test_table_shows_rates_failures_and_speed() -> None:
    results = [_judged("alice", [(0, 6), (3, 4)]), _judged("hare", [(1, 10)])]
    likeness = similarities(
        {"alice": np.array([1.0, 0.0]), "hare": np.array([0.6, 0.8])},
        {result.output.voice: result.embeddings for result in results},
    )
    rows = voice.table(results, likeness)
    assert " ".join(rows[1].split()) == "alice 2 0.300 0.300 1 1 1.000 0.600 3.00 2.0 4.00x"
    assert rows[2].split()[:4] == ["hare", "1", "0.100", "0.100"]
    assert rows[3].split()[:3] == ["all", "3", "0.200"]
    assert rows[-1].split() == ["hare", "0.600", "0.600"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--book", "b.wav"], "--text"),
        (["--chapter", "1"], "--book"),
        (["--audio", "x", "--keep", "y"], "--keep"),
        (["--audio", "x", "--model", "y"], "--model"),
        (["--sentences", "0"], "at least 1"),
    ],
)
def test_contradictory_options_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert voice.main(arguments) == 2
    assert message in capsys.readouterr().err


def _two_chapters(path: Path) -> None:
    """Writes 2 s of a steady 0.1 and 1 s of a steady 0.5 as two marked chapters."""
    samples = np.concatenate([np.full(32000, 0.1), np.full(16000, 0.5)])
    sound, marks = path.with_suffix(".flac"), path.with_suffix(".txt")
    soundfile.write(sound, samples, judges.JUDGE_RATE)
    marks.write_text(
        ";FFMETADATA1\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=2000\nEND=3000\ntitle=two\n"
    )
    inputs = ["-i", str(sound), "-f", "ffmetadata", "-i", str(marks)]
    run_ffmpeg([*inputs, "-map_metadata", "1", "-map", "0:a", "-c:a", "copy", str(path)])


def test_a_chapter_is_cut_out_by_its_mark(tmp_path: Path) -> None:
    _two_chapters(tmp_path / "book.mka")
    assert read_recording(tmp_path / "book.mka", None).size == 48000
    second = read_recording(tmp_path / "book.mka", 2)
    assert second.size == 16000
    np.testing.assert_allclose(second, 0.5, atol=1e-3)
    with pytest.raises(UserError, match="only 2 chapter marks"):
        read_recording(tmp_path / "book.mka", 3)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.m4b"
    path.write_text("no audio")
    with pytest.raises(UserError, match="cannot read the recording"):
        read_recording(path, None)


def test_an_epubs_chapter_is_its_text(shared: Path) -> None:
    book = shared / "books" / "se_h-g-wells_the-time-machine.epub"
    assert "Time Traveller" in read_text(book, 1)
    assert len(read_text(book, None)) > 5 * len(read_text(book, 1))


@pytest.fixture
def installed_judges() -> None:
    """Skips where a judge's package is not installed."""
    if absent := judges.missing():
        pytest.skip(f"needs the bench extra: {', '.join(absent)} not installed")


@pytest.mark.slow
def test_judges_know_good_speech(
    installed_judges: None, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clean synthetic speech is understood, scores well, and sounds like its own voice."""
    texts = _corpus_clips(shared / "corpus", "af_heart", 5, tmp_path)
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(texts[1:]), "utf-8")
    sample = (tmp_path / "000.wav").rename(tmp_path / "heart.wav")
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(1, len(texts)):
        (tmp_path / f"{number:03}.wav").rename(clips / f"{number:03}.wav")
    human = shared / "voices" / "librispeech_1688-0003.flac"
    out = tmp_path / "report.json"
    inputs = ["--lines", str(lines), "--audio", str(clips), "--voices", str(sample), str(human)]
    status = voice.main([*inputs, "--out", str(out), "--threads", "1"])
    assert status == 0
    assert capsys.readouterr().out.startswith("words: faster-whisper")
    (found,) = json.loads(out.read_text())["voices"]
    assert found["wer"] < 0.15
    assert found["dnsmos_ovrl"] > 3.0
    assert found["similarity"] > 0.75
    assert found["nearest_other"]["similarity"] < found["similarity"] - 0.1


def _corpus_clips(corpus: Path, speaker: str, count: int, folder: Path) -> list[str]:
    """Writes `count` utterances of one pure corpus voice as 000.wav ...; returns their texts."""
    entries = {}
    with (corpus / "manifest.jsonl").open(encoding="utf-8") as file:
        for text in file:
            entry = json.loads(text)
            pure = entry["acoustic"] == entry["prosody"] == {speaker: 1.0}
            if pure and entry["seconds"] > 4:
                entries[f"{entry['id']}.opus"] = entry
    texts: list[str] = []
    for shard in sorted(corpus.glob("audio-*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                entry = entries.get(Path(member.name).name)
                file = archive.extractfile(member)
                if entry is None or file is None or len(texts) == count:
                    continue
                audio, sample_rate = soundfile.read(io.BytesIO(file.read()))
                soundfile.write(folder / f"{len(texts):03}.wav", audio, sample_rate)
                texts.append(entry["text"])
        if len(texts) == count:
            break
    return texts


@pytest.mark.slow
def test_every_line_is_rendered_once_in_its_order() -> None:
    pytest.importorskip("model.engine")
    from benchmarks.rendering import render_voice
    from model.engine import Engine

    noise = np.random.default_rng(0).normal(0, 0.1, 4 * 24000).astype(np.float32)
    sample = Sample("noise", noise, 24000)
    lines = ["Keep your temper.", "The Cat only grinned.", "Keep your temper."]
    output = render_voice(Engine.debug(), lines, sample)
    assert output.voice == "noise"
    assert len(output.clips) == 3
    assert all(clip.ndim == 1 and clip.size for clip in output.clips)
    assert output.render_seconds is not None and output.render_seconds > 0
    assert set(output.cut) <= {0, 1, 2}


@pytest.mark.slow
def test_silence_says_nothing_and_is_nobody(installed_judges: None) -> None:
    silence = np.zeros(judges.JUDGE_RATE * 2, dtype=np.float32)
    embedding = judges.SpeakerJudge().embed(silence)
    assert embedding.shape == (256,)
    assert not embedding.any()
