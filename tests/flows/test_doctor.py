"""`voxloom doctor` says what is there and what is not, and its exit status is the same answer."""

from pathlib import Path

import pytest
from rich.console import Console

from configs.presets import load_presets
from configs.settings import Settings
from flows import audiobook, calibration
from flows.cli import main
from flows.orders import Order
from flows.progress import RunProgress
from model.calibration import Calibration
from tasks import checkup
from tasks.calibration import Chosen, chosen, store_calibration
from tasks.checkup import check_up
from tasks.voices import AskedVoice

FOUND = Calibration(32, 2, "bf16", {16: 100.0, 32: 150.0}, {1: 0.5, 2: 0.9}, 1.8)


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """Cores of the calibrations that were made, each of which takes no time."""
    made: list[int] = []

    def calibrate(cores: int) -> Calibration:
        made.append(cores)
        return FOUND

    monkeypatch.setattr("model.calibration.calibrate", calibrate)
    return made


def test_it_measures_once_and_shows_it(settings, measured, capsys):
    assert main(["doctor"]) == 0
    assert main(["doctor"]) == 0
    assert len(measured) == 1
    said = capsys.readouterr().out
    assert "bf16 is 1.80 times as fast" in said
    assert "S1 in 32 slots (16: 100, 32: 150 tokens a second)" in said
    for name in ("processor", "memory", "PyTorch", "ffmpeg", "built-in voice", "Whisper"):
        assert f"{name}: " in said
    assert main(["doctor", "--calibrate"]) == 0
    assert len(measured) == 2


def test_what_is_missing_is_a_failure_with_a_remedy(settings, measured, monkeypatch, capsys):
    monkeypatch.setattr(checkup, "_lacking", lambda extra: [] if extra else ["soxr>=0.5"])
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "missing  packages: not installed: soxr>=0.5 -> pip install" in captured.out
    assert "(packages)" in captured.err


def test_what_could_be_better_is_none(settings, measured, monkeypatch, capsys):
    monkeypatch.setattr(checkup, "_lacking", lambda extra: ["jieba"] if extra == "chinese" else [])
    monkeypatch.setattr(checkup, "find_whisper", lambda name: None)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "could be better  chinese: not installed" in said
    assert "-e '.[chinese]'" in said
    assert "VOXLOOM_WHISPER" in said


def test_a_model_that_is_not_there_is_missing(settings, measured):
    wrong = settings.model_copy(update={"whisper": "no-such-model"})
    states = {finding.name: finding.state for finding in check_up(wrong)}
    assert states["Whisper"] == "missing"
    assert states["ffmpeg"] == "ok"
    assert states["calibration"] == "note"


def test_it_says_what_speaks(settings, measured, monkeypatch):
    def said(device: str) -> tuple[str, str]:
        asked = settings.model_copy(update={"device": device})
        found = {finding.name: finding for finding in check_up(asked)}
        return found["speaks on"].text, found["calibration"].text

    assert said("auto")[0] == "the processor"
    wanted = settings.model_copy(update={"device": "cuda"})
    assert checkup.device_finding(wanted).state == "missing"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Card 1")
    text, calibrated = said("auto")
    assert text == "Card 1, steps are recorded"
    assert "none is needed" in calibrated
    assert "VOXLOOM_DEVICE" in said("cpu")[0]


def test_requirements_of_extras_are_found(monkeypatch):
    lines = ["numpy>=2", "absent>=1", "numpy>=9000; extra == 'korean'", "soxr; extra == 'x'"]
    monkeypatch.setattr(checkup, "requires", lambda name: lines)
    assert checkup._lacking("") == ["absent>=1"]
    assert checkup._lacking("korean") == ["numpy>=9000"]
    assert checkup._lacking("x") == []


def test_a_long_book_calibrates_once(settings, measured):
    progress = RunProgress(Console(quiet=True), 60.0)
    calibration.calibrate_once(settings, progress)
    calibration.calibrate_once(settings, progress)
    assert len(measured) == 1
    assert chosen(settings).slots == 32
    store_calibration(settings, FOUND)
    assert chosen(settings.model_copy(update={"threads": 1})) == Chosen(32, 1, "bf16")


@pytest.mark.parametrize(("longest", "times"), [(1, 1), (10**6, 0)])
def test_a_long_book_is_calibrated_for_before_its_model_is_loaded(
    epub, sample, settings, measured, monkeypatch, tmp_path, longest, times
):
    class LoadedError(Exception):
        """Nothing is spoken here."""

    def load(settings: Settings) -> None:
        assert len(measured) == times
        raise LoadedError

    class NoApi:
        def __init__(self, *folders: Path) -> None:
            pass

        def stop(self) -> None:
            pass

    monkeypatch.setattr(audiobook, "LONG_BOOK", longest)
    monkeypatch.setattr(audiobook, "EmbeddedApi", NoApi)  # Prefect's takes 10 seconds to start
    voice = AskedVoice((str(sample),))
    order = Order(epub, voice, tmp_path / "out", "", "", 0, load_presets(), settings)
    with pytest.raises(LoadedError):
        audiobook.make_audiobook(order, Console(quiet=True), load)
