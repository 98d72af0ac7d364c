"""Every official version with small random weights in the official formats, read from folders."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import UserError
from model.acoustic import WINDOWS, FlowStage, FlowVoice, Line
from model.identify import VERSIONS, Version
from model.official import load_official
from model.official_engine import FEWEST_PHONES, SLOTS, OfficialEngine
from model.sampling import Sampling
from model.slots import SlotTable
from model.speaking import Characters, Prompt, Rendering, Request, Sample
from tests.official_models import install

SAMPLING = Sampling(top_k=15, temperature=1.0, repetition_penalty=1.35, steps=2, guidance=0.0)
HELLO = ("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D", ".")
PROMPT = Prompt(("G", "UH1", "D", "D", "EY1", "."))
REQUESTS = [Request(HELLO, 1), Request(HELLO, 2), Request(HELLO[:2], 3), Request(HELLO * 2, 4)]
RATES = {"v3": 24_000, "v4": 48_000}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Version, Path]:
    """Models are installed when a test first asks for them."""
    work = tmp_path_factory.mktemp("official")

    class Folders(dict[Version, Path]):
        def __missing__(self, version: Version) -> Path:
            self[version] = install(work / "models", version, work)
            return self[version]

    return Folders()


@pytest.fixture(scope="module")
def engines(folders: dict[Version, Path]) -> dict[Version, OfficialEngine]:
    class Engines(dict[Version, OfficialEngine]):
        def __missing__(self, version: Version) -> OfficialEngine:
            self[version] = OfficialEngine.load(folders[version])
            return self[version]

    return Engines()


def sample(seed: int = 0, seconds: float = 3.2, rate: int = 22_050) -> Sample:
    audio = 0.1 * np.random.default_rng(seed).normal(size=int(seconds * rate))
    return Sample(audio.astype(np.float32), rate)


def check_same(made: Rendering, expected: Rendering) -> None:
    assert np.array_equal(made.tokens, expected.tokens)
    assert np.array_equal(made.audio, expected.audio)
    assert made.complete == expected.complete


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_speaks(engines: dict[Version, OfficialEngine], version: Version) -> None:
    engine = engines[version]
    assert engine.sample_rate == RATES.get(version, 32_000)
    reference = engine.reference([sample()], PROMPT)
    made = engine.render(REQUESTS[:2], reference, SAMPLING)
    for rendering in made:
        assert rendering.audio.dtype == np.float32
        assert np.isfinite(rendering.audio).all()
        assert 0 < np.abs(rendering.audio).max() <= 1.0
        # 25 tokens a second; v3's frames do not divide one.
        seconds = len(rendering.tokens) / 25
        assert len(rendering.audio) / engine.sample_rate == pytest.approx(seconds, abs=0.011)
    assert not np.array_equal(made[0].audio, made[1].audio), "the seed does nothing"


@pytest.mark.parametrize(("version", "speed"), [("v2", 1.0), ("v2Pro", 1.1), ("v4", 1.1)])
def test_the_two_halves_make_what_render_makes(
    engines: dict[Version, OfficialEngine], version: Version, speed: float
) -> None:
    engine, sampling = engines[version], replace(SAMPLING, speed=speed)
    reference = engine.reference([sample()], PROMPT)
    made = engine.render(REQUESTS, reference, sampling)
    said = engine.semantics(REQUESTS, reference, SAMPLING)
    halves = engine.acoustics(REQUESTS, said, reference, sampling)
    for request, semantics, whole, half in zip(REQUESTS, said, made, halves, strict=True):
        check_same(half, whole)
        assert half.pronunciation == whole.pronunciation
        seconds = engine.seconds_of(request, semantics, speed)
        assert seconds == pytest.approx(len(half.audio) / engine.sample_rate, abs=0.03)
    with pytest.raises(ValueError, match="requests"):
        engine.acoustics(REQUESTS, said[:1], reference, sampling)


def test_english_is_listened_to(engines: dict[Version, OfficialEngine]) -> None:
    engine = engines["v2Pro"]
    reference = engine.reference([sample()], PROMPT)
    chinese = Request(("n", "i2", "h", "ao3", "!"), 5)
    english, foreign = engine.render([REQUESTS[3], chinese], reference, SAMPLING)
    assert english.pronunciation is not None
    held = len(english.audio) / engine.sample_rate > 0.02 * len(REQUESTS[3].phones)
    assert len(english.times) == (len(REQUESTS[3].phones) if held else 0)
    assert foreign.pronunciation is None
    assert foreign.times.shape == (0, 2)


@pytest.mark.parametrize("version", ["v2Pro", "v4"])
def test_neighbours_change_nothing(
    engines: dict[Version, OfficialEngine], version: Version
) -> None:
    engine = engines[version]
    reference = engine.reference([sample()], PROMPT)
    told: list[int] = []
    many = [*REQUESTS, *(replace(REQUESTS[0], seed=10 + n) for n in range(SLOTS))]
    together = engine.render(many, reference, SAMPLING, lambda index, _: told.append(index))
    assert sorted(told) == list(range(len(many)))
    for request, made in zip(REQUESTS, together, strict=False):
        check_same(made, engine.render([request], reference, SAMPLING)[0])


def test_bf16_is_s1s_precision_too(
    engines: dict[Version, OfficialEngine],
    folders: dict[Version, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables: list[SlotTable] = []
    prepare = SlotTable.__init__

    def noted(self: SlotTable, *arguments: Any) -> None:
        prepare(self, *arguments)
        tables.append(self)

    exact, lower = engines["v2"], OfficialEngine.load(folders["v2"], precision="bf16")
    monkeypatch.setattr(SlotTable, "__init__", noted)
    assert exact.content_hash != lower.content_hash
    reference = lower.reference([sample()], PROMPT)
    together = lower.semantics(REQUESTS, reference, SAMPLING)
    assert tables[-1].keys[0].dtype == torch.bfloat16
    for request, said in zip(REQUESTS, together, strict=True):
        (alone,) = lower.semantics([request], reference, SAMPLING)
        assert np.array_equal(alone.tokens, said.tokens)
    exact.semantics(REQUESTS[:1], reference, SAMPLING)
    assert tables[-1].keys[0].dtype == torch.float32


@pytest.mark.parametrize("version", ["v2", "v2ProPlus"])
def test_without_a_prompt_and_with_several_samples(
    engines: dict[Version, OfficialEngine], version: Version
) -> None:
    engine = engines[version]
    alone = [engine.reference([sample(seed)]) for seed in (0, 1)]
    both = engine.reference([sample(0), sample(1)], PROMPT)
    assert (len(alone[0].tokens), alone[0].phones) == (0, ())
    assert len(both.tokens) == (3.2 + 0.6) * 25 - 1, "0.6 s of silence behind the sample"
    mean = torch.stack([reference.voice for reference in alone]).mean(0)
    torch.testing.assert_close(both.voice, mean)
    made = [engine.render(REQUESTS[:1], voice, SAMPLING)[0] for voice in (*alone, both)]
    assert np.array_equal(made[0].tokens, made[1].tokens), "S1 does not hear the voice"
    assert not np.array_equal(made[0].audio, made[1].audio)
    assert not np.array_equal(made[0].tokens, made[2].tokens), "the prompt does nothing"


def test_flow_versions_need_one_sample_and_its_words(
    engines: dict[Version, OfficialEngine],
) -> None:
    engine = engines["v4"]
    assert engine.hearing.prompt == "needed"
    with pytest.raises(ValueError, match="what the sample says"):
        engine.reference([sample()])
    with pytest.raises(ValueError, match="one sample"):
        engine.reference([sample(), sample()], PROMPT)
    with pytest.raises(UserError, match="too short"):
        engine.reference([sample(seconds=0.5)], PROMPT)


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_long_speech_is_made_window_by_window(
    folders: dict[Version, Path], version: Version
) -> None:
    """Each window holds the prompt and continues the one before; together they cover all."""
    model = load_official(folders[version])
    stage = FlowStage(model)
    windows: list[tuple[int, torch.Tensor]] = []
    infer = model.s2.cfm.inference

    def watched(fea, lengths, prompt, *rest):
        windows.append((fea.shape[2], prompt))
        return infer(fea, lengths, prompt, *rest)

    model.s2.cfm.inference = watched  # type: ignore[method-assign]
    sizes = WINDOWS[version]
    width = model.s2.config.text_dim
    length = sizes.prompt_frames
    prompt = torch.ones(1, 100, length)
    voice = FlowVoice(torch.zeros(1, 16, 1), prompt, torch.ones(1, width, length))
    codes, phones = torch.zeros(1, 400, dtype=torch.long), torch.tensor([1, 2, 3])
    with torch.inference_mode():
        (audio,) = stage.speak([Line(codes, phones, 1)], voice, SAMPLING)
    frames = int(800 * model.s2.config.upsample)
    room = sizes.window_frames - length
    assert sum(total - prompt.shape[2] for total, prompt in windows) == frames
    assert len(windows) == -(-frames // room)
    assert all(total <= sizes.window_frames for total, _ in windows)
    assert torch.equal(windows[0][1], voice.mel)
    assert not torch.equal(windows[1][1], windows[0][1][..., -windows[1][1].shape[2] :])
    assert len(audio) == frames * {"v3": 256, "v4": 480}[version]


@pytest.mark.parametrize("version", ["v2", "v4"])
def test_lines_packed_together_sound_as_alone(
    engines: dict[Version, OfficialEngine], version: Version
) -> None:
    """One of them takes two windows of the flow matching, one of them less than a vocoder's."""
    engine = engines[version]
    voice = engine.reference([sample(seconds=9)], PROMPT).voice
    phones, draw = torch.tensor([1, 2, 3]), torch.Generator().manual_seed(0)
    lines = [
        Line(torch.randint(0, 8, (1, tokens), generator=draw), phones, tokens)
        for tokens in (140, 20, 60)
    ]
    with torch.inference_mode():
        packed = engine._stage.speak(lines, voice, SAMPLING, 2)
        for line, made in zip(lines, packed, strict=True):
            (alone,) = engine._stage.speak([line], voice, SAMPLING)
            torch.testing.assert_close(made, alone, atol=1e-4, rtol=0)


def test_a_prompt_longer_than_a_window_keeps_its_end(
    engines: dict[Version, OfficialEngine],
) -> None:
    reference = engines["v4"].reference([sample(seconds=9)], PROMPT)
    assert isinstance(reference.voice, FlowVoice)
    assert reference.voice.mel.shape == (1, 100, WINDOWS["v4"].prompt_frames)
    assert reference.voice.fea.shape[2] == WINDOWS["v4"].prompt_frames
    short = engines["v4"].reference([sample(seconds=3.2)], PROMPT)
    assert isinstance(short.voice, FlowVoice)
    assert short.voice.mel.shape[2] == 320


def test_chinese_characters_count(engines: dict[Version, OfficialEngine]) -> None:
    engine = engines["v2"]
    phones = ("n", "i2", "h", "ao3", ",", "sh", "ir4", "j", "ie4", ".")
    run = Characters(0, "你好,世界.", (2, 2, 1, 2, 2, 1))
    other = replace(run, text="今天,很气.")
    reference = engine.reference([sample()], Prompt(phones, (run,)))
    assert reference.features.shape == (32, 10)
    assert reference.features.any(0).all()
    assert torch.equal(reference.features[:, 0], reference.features[:, 1])
    requests = [Request(phones, 1, characters) for characters in ((), (run,), (other,))]
    made = engine.render(requests, reference, SAMPLING)
    assert len({rendering.tokens.tobytes() for rendering in made}) == 3


def test_features_follow_their_characters_into_short_texts(
    engines: dict[Version, OfficialEngine],
) -> None:
    """A short text gets a full stop in front."""
    engine = engines["v2"]
    short = Request(("AH0", "h", "ao3", "AH0", "."), 1, (Characters(1, "好", (2,)),))
    longer = Request((".", *short.phones), 1, (Characters(2, "好", (2,)),))
    assert len(longer.phones) == FEWEST_PHONES
    made = engine.render([short, longer], engine.reference([sample()]), SAMPLING)
    check_same(*made)


def test_nothing_to_say_and_too_much(engines: dict[Version, OfficialEngine]) -> None:
    engine = engines["v2"]
    reference = engine.reference([sample()], PROMPT)
    assert engine.render([], reference, SAMPLING) == []
    with pytest.raises(ValueError, match="no phones"):
        engine.render([Request((), 1)], reference, SAMPLING)
    with pytest.raises(ValueError, match="4000"):
        engine.render([Request(("AH0",) * 3999, 1)], reference, SAMPLING)


def test_v1_reads_its_own_inventory(engines: dict[Version, OfficialEngine]) -> None:
    """Korean is not in it: UNK."""
    engine = engines["v1"]
    reference = engine.reference([sample()])
    korean, unknown = (Request((phone,) * 6, 1) for phone in ("ㄱ", "UNK"))
    made = engine.render([korean, unknown], reference, SAMPLING)
    check_same(*made)
