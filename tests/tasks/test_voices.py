import numpy as np
import pytest
import soundfile

from configs.errors import UsageError, UserError
from storage.library import Library
from tasks.voices import find_voice, register_voice


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "voices")


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "my sample.wav"
    rate = 22050
    time = np.arange(4 * rate) / rate
    tone = 0.3 * np.sin(2 * np.pi * 150 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2
    soundfile.write(path, tone.astype(np.float32), rate, subtype="FLOAT")
    return path


def test_a_voice_is_the_same_by_path_and_by_name(sample, library):
    stored = register_voice("ada", sample, library)
    by_path, by_name = find_voice(str(sample), library), find_voice("ada", library)
    assert by_path.content_hash == by_name.content_hash
    np.testing.assert_array_equal(by_path.audio, by_name.audio)
    assert (by_path.name, by_name.name) == ("my sample", "ada")
    assert by_name.sample_rate == stored.sample_rate == 22050
    assert stored.seconds == pytest.approx(4, abs=0.5)
    assert stored.source == "my sample.wav"


def test_a_name_that_is_neither_file_nor_voice(sample, library):
    register_voice("ada", sample, library)
    with pytest.raises(UserError, match=r"neither a file nor a registered voice named bob.*ada"):
        find_voice("bob", library)
    with pytest.raises(UserError, match="There is no file"):
        find_voice("absent.wav", library)
    with pytest.raises(UserError, match="There is no file"):
        find_voice("../voices/ada/absent", library)


def test_a_bad_name_or_sample_registers_nothing(sample, library, tmp_path):
    with pytest.raises(UsageError, match="can't name a voice"):
        register_voice("../ada", sample, library)
    text = tmp_path / "text.wav"
    text.write_text("not audio")
    with pytest.raises(UserError):
        register_voice("ada", text, library)
    assert list(library) == []
