"""`voxloom pretrain` on the command line: what it makes, what it refuses, how it is stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

TINY = """
sizes: {width: 16, hidden: 16, blocks: 1}
batch: 2
frames: 16
steps: STEPS
validate_every: 1000
log_every: 2
save_seconds: 0
samples: 1
threads: 1
device: cpu
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """LJSpeech's layout: four clips, one of them damaged, and one that is missing."""
    folder = tmp_path / "LJ"
    (folder / "wavs").mkdir(parents=True)
    time = np.arange(24_000) / 24_000
    for number in range(3):
        tone = 0.3 * np.sin(2 * np.pi * 150 * (number + 1) * time)
        soundfile.write(folder / "wavs" / f"LJ{number}.wav", tone, 24_000)
    (folder / "wavs" / "LJ3.wav").write_bytes(b"RIFF")
    lines = [f"LJ{number}|One.|One." for number in range(5)]
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def config(folder: Path, steps: int) -> Path:
    path = folder / f"tiny{steps}.yaml"
    path.write_text(TINY.replace("STEPS", str(steps)))
    return path


def values(run: Path) -> list[list[str]]:
    rows = [line.split(",") for line in (run / "losses.csv").read_text().splitlines()]
    return [[step, *rest] for step, _, *rest in rows]


def test_a_vocoder_from_recordings(voxloom, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "vocoder"
    words = ["pretrain", "--stage", "vocoder", "--data", data, "--out", out]
    ran = voxloom(*words, "--config", config(tmp_path, 4))
    assert ran.status == 0
    assert "LJ3 is left out: not readable as sound" in ran.err
    assert "LJ4 is left out: its sound file is missing" in ran.err
    assert "2 clips are left out" in ran.err
    assert "4 steps" in " ".join(ran.err.split())
    assert values(out)[0] == ["step", "set", "loss", "value"]
    assert (out / "losses.png").exists()
    made, rate = soundfile.read(out / "samples" / "step-4" / "0-made.wav")
    assert (rate, len(made)) == (24_000, 93 * 256)
    ran = voxloom("pretrain", "export", "--runs", tmp_path / "runs", "--out", tmp_path / "model")
    assert (ran.status, ran.out.strip()[-7:]) == (0, "vocoder")
    assert (tmp_path / "model" / "config.json").exists()


def start(words: list[object]) -> subprocess.Popen:
    command = [sys.executable, "-m", "flows.cli", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_command_goes_on(
    voxloom, data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped somewhere after its first checkpoint, its loss table is that of one go."""
    words = ["pretrain", "--stage", "vocoder", "--data", data]
    words += ["--config", config(tmp_path, 40)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert voxloom(*words, "--out", whole).status == 0
    process = start([*words, "--out", parts])
    while not (parts / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "what is done so far is kept" in said
    else:
        assert process.returncode == -signal.SIGKILL
    assert voxloom(*words, "--out", parts).status == 0
    assert values(parts) == values(whole)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "give --stage, --data and --out"),
        (["--stage", "s3", "--data", "x", "--out", "y"], 2, "the stages are recogniser, semantic"),
        (["--stage", "vocoder", "--data", "absent", "--out", "y"], 1, "absent is no folder"),
        (["--stage", "vocoder", "export", "--runs", "a", "--out", "b"], 2, "not both"),
        (["export", "--runs", "absent", "--out", "b"], 1, "absent is no folder"),
    ],
)
def test_what_can_not_be_done(
    voxloom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = voxloom("pretrain", *words)
    assert ran.status == status
    (line,) = ran.err.strip().splitlines()
    assert said in line
