"""The engine with a tiny random model: a result depends on its own request alone."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from model.carrier import CARRIER
from model.checkpoint import random_model
from model.decode import SLOTS, token_bound
from model.engine import REPEATED_TOKENS, TOKENS_PER_PHONE, Engine, Reference, _without_rumble
from model.pronunciation import UNHEARD, Pronunciation
from model.s1 import POSITIONS
from model.sampling import SHORTEST, Sampling
from model.speaking import Rendering, Request, Sample
from model.text import speak_text
from model.windows import Line

DEMO = Path(__file__).parents[2] / "demo" / "voice.flac"
PHONES = ("HH", "AH0", "L", "OW1", ",", "W", "ER1", "L", "D", ".")
POOL = [
    Request(PHONES, 1),
    Request(PHONES, 2),
    Request(PHONES[:1], 3),
    Request(PHONES * 4, 4),
    Request(PHONES[3:], 2**63 - 1),
]


def noise(seconds: float, rate: int = 24_000) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=int(seconds * rate))).astype(np.float32)


def other_sample() -> Sample:
    return Sample(noise(3)[::-1].copy() * np.linspace(0, 1, 72_000), 24_000)


def lively(end: float | None = None) -> Engine:
    """A tiny engine in which no zero-initialised layer is silent.

    With `end`, S1 thinks the same at every step, and the end's logit is about 16 times `end`.
    """
    model = random_model(0)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.s2.parameters():
        if not parameter.any():
            parameter.normal_(std=0.3, generator=generator)
    if end is not None:
        *_, last = model.s1.h
        last.norm2.weight.zero_()
        last.norm2.bias.fill_(1.0)
        model.s1.ar_predict_layer.weight[model.s1.config.end] = end
    return Engine(model)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return lively()


@pytest.fixture(scope="module")
def voice(engine: Engine) -> Reference:
    return engine.reference([Sample(noise(3), 24_000)])


@pytest.fixture(scope="module")
def alone(engine: Engine, voice: Reference) -> list[Rendering]:
    """What each request of the pool gives when it is rendered by itself."""
    return [engine.render([request], voice)[0] for request in POOL]


def test_seed_decides_the_draw(engine: Engine, voice: Reference) -> None:
    free = Sampling(top_k=20, temperature=2.0, steps=1)
    first, second = engine.render(POOL[:2], voice, free)
    assert POOL[0].phones == POOL[1].phones
    assert not np.array_equal(first.tokens, second.tokens), "the seed does nothing"


def check_same(made: Rendering, expected: Rendering) -> None:
    assert np.array_equal(made.tokens, expected.tokens)
    assert np.array_equal(made.audio, expected.audio)
    assert made.complete == expected.complete


def test_rendering_fits_its_types(alone: list[Rendering]) -> None:
    for rendering in alone:
        assert rendering.tokens.dtype == np.int16
        assert rendering.audio.dtype == np.float32
        assert np.abs(rendering.audio).max(initial=0.0) <= 1.0
        assert rendering.pronunciation is not None
    for request, rendering in zip(POOL, alone, strict=True):
        assert rendering.times.dtype == np.int16
        if len(rendering.times):  # too short sounds can't hold their phones
            assert rendering.times.shape == (len(request.phones), 2)
            flat = rendering.times.ravel()
            assert flat[0] >= 0 and (np.diff(flat) >= 0).all()
            assert flat[-1] / 50 <= len(rendering.audio) / 24_000 + 0.02
    assert sum(len(rendering.times) > 0 for rendering in alone) >= 3
    for rendering in (alone[0], alone[1], alone[3]):  # without a carrier
        frames = int(2 * len(rendering.tokens) * 1.875)
        assert rendering.audio.shape == (frames * 256,)


@settings(max_examples=6)
@given(st.lists(st.integers(0, len(POOL) - 1), min_size=2, max_size=6))
def test_neighbours_change_nothing(
    engine: Engine, voice: Reference, alone: list[Rendering], chosen: list[int]
) -> None:
    made = engine.render([POOL[i] for i in chosen], voice)
    for index, rendering in zip(chosen, made, strict=True):
        check_same(rendering, alone[index])


def test_refilled_slots_change_nothing(
    engine: Engine, voice: Reference, alone: list[Rendering]
) -> None:
    chosen = [i % len(POOL) for i in range(SLOTS + 7)]
    made = engine.render([POOL[i] for i in chosen], voice)
    for index, rendering in zip(chosen, made, strict=True):
        check_same(rendering, alone[index])


def test_threads_of_the_caller_change_nothing(
    engine: Engine, voice: Reference, alone: list[Rendering]
) -> None:
    """Two renders of one engine at the same time, from threads that did not load it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(engine.render, [POOL[i]], voice) for i in (0, 3)]
        for index, job in zip((0, 3), jobs, strict=True):
            check_same(job.result()[0], alone[index])


def test_the_number_of_threads_changes_nothing(
    engine: Engine, voice: Reference, alone: list[Rendering]
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        made = engine.render(POOL, voice)
    finally:
        torch.set_num_threads(before)
    for rendering, expected in zip(made, alone, strict=True):
        check_same(rendering, expected)


def test_many_lines_together_sound_as_alone(engine: Engine, voice: Reference) -> None:
    """As on a GPU; some take two or three windows, and which stand together does not matter."""
    draw = torch.Generator().manual_seed(0)
    lines = [
        Line(torch.randint(0, 32, (1, tokens), generator=draw), torch.tensor([1, 2, 3]), tokens)
        for tokens in (210, 20, 100, 90, 33)
    ]
    stage, sampling = engine._stage, Sampling(steps=2, speed=1.1)
    with torch.inference_mode():
        alone = [stage.speak([line], voice, sampling)[0] for line in lines]
        packed = stage.speak(lines, voice, sampling, 4)
        other = stage.speak(lines[3:], voice, sampling, 4)
    pairs = zip([*packed, *other], [*alone, *alone[3:]], strict=True)
    for made, expected in ((one.audio, other.audio) for one, other in pairs):
        assert made.shape == expected.shape
        for part in (slice(None), slice(-4800, None)):
            error = (made - expected)[part].norm() / expected[part].norm()
            assert error < 5e-3, f"{len(expected)} samples: {error:.1e}"


@pytest.mark.parametrize("phones", [8, 45])
def test_a_sentence_without_an_end_stops_at_its_bound(phones: int) -> None:
    """45 phones and their tokens fill the cache to its last place."""
    endless = lively(end=-1.0)
    reference = endless.reference([Sample(noise(1), 24_000)])
    rambling = Sampling(top_k=50, temperature=5.0, steps=1)
    rendering = endless.render([Request(("AH0",) * phones, 1)], reference, rambling)[0]
    assert len(rendering.tokens) == token_bound(phones, TOKENS_PER_PHONE)
    assert not rendering.complete


def test_a_stuck_sentence_stops_before_its_bound() -> None:
    """Greedy, S1 says one token for ever; a text that repeats itself may repeat more."""
    endless = lively(end=-1.0)
    reference = endless.reference([Sample(noise(1), 24_000)])
    once = ("HH", "AH0", "L", "OW1", ",", "W", "ER1", "D", "N", ".")
    requests = [Request(once, 1), Request(once * 2, 1)]
    plain, repeating = endless.render(requests, reference, Sampling(top_k=1))
    assert len(plain.tokens) == REPEATED_TOKENS + 2
    assert len(repeating.tokens) == REPEATED_TOKENS + 2 + TOKENS_PER_PHONE * len(once)
    assert not plain.complete
    assert not repeating.complete


def test_a_sentence_that_wants_to_end_has_its_least_length() -> None:
    brief = lively(end=1.0)
    reference = brief.reference([Sample(noise(1), 24_000)])
    rendering = brief.render([Request(PHONES, 1)], reference)[0]
    assert len(rendering.tokens) == SHORTEST
    assert rendering.complete


def test_sentences_are_told_as_they_end() -> None:
    endless = lively(end=-1.0)
    reference = endless.reference([Sample(noise(1), 24_000)])
    told: list[tuple[int, Rendering]] = []

    def on_done(index: int, rendering: Rendering) -> None:
        told.append((index, rendering))

    requests = [Request((PHONES * 3)[:n], n) for n in (30, 10, 20)]
    rambling = Sampling(top_k=50, temperature=5.0, steps=1)
    made = endless.render(requests, reference, rambling, on_done)
    assert [index for index, _ in told] == [1, 2, 0]
    assert all(made[index] is rendering for index, rendering in told)


def test_voice_speed_guidance_and_steps_count(
    engine: Engine, voice: Reference, alone: list[Rendering]
) -> None:
    request, usual = POOL[0], alone[0]
    other = engine.reference([other_sample()])
    heard = engine.render([request], other)[0]
    assert np.array_equal(heard.tokens, usual.tokens)
    assert not np.array_equal(heard.audio, usual.audio)
    for sampling in (Sampling(steps=2), Sampling(guidance=1.0)):
        changed = engine.render([request], voice, sampling)[0]
        assert changed.audio.shape == usual.audio.shape
        assert not np.array_equal(changed.audio, usual.audio)
    faster = engine.render([request], voice, Sampling(speed=1.25))[0]
    assert len(faster.audio) == pytest.approx(len(usual.audio) / 1.25, rel=0.05)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=5, steps=2, speed=1.1)])
def test_the_two_halves_make_what_render_makes(
    engine: Engine, voice: Reference, sampling: Sampling
) -> None:
    """What S1 says may be kept, and sound made of it later, at any speed."""
    told: list[int] = []
    made = engine.render(POOL, voice, sampling)
    said = engine.semantics(POOL, voice, replace(sampling, speed=1.0, steps=1))
    halves = engine.acoustics(POOL, said, voice, sampling, lambda index, _: told.append(index))
    assert told == list(range(len(POOL)))
    for whole, half in zip(made, halves, strict=True):
        check_same(half, whole)
        assert half.pronunciation == whole.pronunciation
        assert np.array_equal(half.times, whole.times)
    alone = engine.acoustics(POOL[3:4], said[3:4], voice, sampling)[0]
    check_same(alone, made[3])
    for index in (0, 1, 3):  # without a carrier
        seconds = engine.seconds_of(POOL[index], said[index], sampling.speed)
        assert seconds == pytest.approx(len(made[index].audio) / 24_000, abs=0.03)


def test_halves_that_do_not_match_are_refused(engine: Engine, voice: Reference) -> None:
    said = engine.semantics(POOL[:1], voice)
    with pytest.raises(ValueError, match="2 requests"):
        engine.acoustics(POOL[:2], said, voice)
    with pytest.raises(ValueError, match="no phones"):
        engine.acoustics([Request((), 1)], said, voice)
    with pytest.raises(ValueError, match="no phones"):
        engine.semantics([Request((), 1)], voice)


def test_unknown_phones_are_spoken_as_unk(engine: Engine, voice: Reference) -> None:
    odd, unk = engine.render([Request((name,) * 9, 1) for name in ("no such", "UNK")], voice)
    check_same(odd, unk)


def test_short_texts_are_spoken_in_a_carrier_that_is_not_heard(
    monkeypatch: pytest.MonkeyPatch, voice: Reference
) -> None:
    """With the pause where the test says, what is left is what the carrier and the text together
    come to, from there on."""
    engine = lively()
    text = ("N", "OW1", ".")
    whole = engine.render([Request(CARRIER + text, 7)], voice)[0]
    start = len(whole.audio) / 24_000 / 2
    monkeypatch.setattr("model.engine.text_start", lambda log_probs, spoken: start)
    cut = engine.render([Request(text, 7)], voice)[0]
    first = round(start * 24_000)
    assert len(cut.audio) == len(whole.audio) - first
    assert cut.audio[0] == 0
    assert np.array_equal(cut.audio[240:], whole.audio[first + 240 :])
    assert np.array_equal(cut.tokens, whole.tokens[round(len(whole.tokens) / 2) :])
    said = engine.semantics([Request(text, 7)], voice)
    check_same(engine.acoustics([Request(text, 7)], said, voice)[0], cut)
    whole_seconds = len(whole.audio) / 24_000
    share = len(text) / len(CARRIER + text)
    seconds = engine.seconds_of(Request(text, 7), said[0])
    assert seconds == pytest.approx(share * whole_seconds, abs=0.03)
    monkeypatch.setattr("model.engine.text_start", lambda log_probs, spoken: None)
    lost = engine.render([Request(text, 7)], voice)[0]
    assert len(lost.audio) == len(lost.tokens) == 0
    assert lost.pronunciation == UNHEARD


def test_a_word_of_the_built_in_voice_is_whole_and_does_not_click(root: Path) -> None:
    audio, rate = soundfile.read(root / "demo" / "voice.flac", dtype="float32")
    engine = Engine.load()
    voice = engine.reference([Sample(audio, rate)])
    made = engine.render([Request(("N", "EH1", "V", "ER0", "."), 1)], voice)[0]
    seconds = len(made.audio) / engine.sample_rate
    assert 0.2 < seconds < 1.5
    loud = np.abs(made.audio).max()
    assert np.abs(made.audio[:24]).max() < 0.1 * loud  # the first millisecond
    assert made.pronunciation is not None
    assert made.pronunciation.lost < UNHEARD.lost


def test_a_voice_does_not_depend_on_the_number_of_threads(root: Path) -> None:
    """Of the built-in voice, whose sums are long enough to be cut in pieces."""
    engine = Engine.load()
    audio, rate = soundfile.read(root / "demo" / "voice.flac", dtype="float32")
    before = torch.get_num_threads()
    try:
        made = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made.append(engine.reference([Sample(audio, rate)]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    one, two = made
    for name in ("voice", "prompt_mel", "prompt_fea"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_nothing_to_say(engine: Engine, voice: Reference) -> None:
    assert engine.render([], voice) == []
    with pytest.raises(ValueError, match="no phones"):
        engine.render([POOL[0], Request((), 1)], voice)
    with pytest.raises(ValueError, match="4000"):
        engine.render([Request(("AH0",) * (POSITIONS + 1), 1)], voice)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "too short"),
        (noise(0.5), "too short"),
        (np.full(48_000, np.nan, np.float32), "no sound"),
    ],
)
def test_samples_that_are_no_voice(engine: Engine, audio: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        engine.reference([Sample(audio, 24_000)])


@pytest.mark.parametrize(
    "sample",
    [
        lambda: (noise(1), 24_000),
        lambda: (noise(3, 44_100), 44_100),
        lambda: (np.zeros(48_000, np.float32), 16_000),
        lambda: (noise(3) * 1e-7, 24_000),
        lambda: (noise(3) * 100, 24_000),
    ],
)
def test_odd_samples_give_finite_voices(
    engine: Engine, sample: Callable[[], tuple[np.ndarray, int]]
) -> None:
    reference = engine.reference([Sample(*sample())])
    assert reference.prompt_mel.shape[:2] == (1, 100)
    assert reference.prompt_mel.shape[2] == reference.prompt_fea.shape[2] <= 180
    for tensor in (reference.voice, reference.prompt_mel, reference.prompt_fea):
        assert torch.isfinite(tensor).all()


def test_only_the_first_twelve_seconds_count(engine: Engine) -> None:
    audio = noise(12.5)
    long, cut = (engine.reference([Sample(one, 24_000)]) for one in (audio, audio[: 12 * 24_000]))
    assert torch.equal(long.voice, cut.voice)
    assert torch.equal(long.prompt_mel, cut.prompt_mel)


def test_several_samples_make_the_mean_voice(engine: Engine, voice: Reference) -> None:
    samples = [Sample(noise(3), 24_000), other_sample()]
    both, other = engine.reference(samples), engine.reference(samples[1:])
    torch.testing.assert_close(both.voice, (voice.voice + other.voice) / 2)
    assert torch.equal(both.prompt_mel, voice.prompt_mel)


def test_debug_engines_leave_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    assert Engine.debug(1).content_hash != Engine.debug(2).content_hash
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_another_process_gives_the_same(root: Path) -> None:
    code = """
import hashlib, numpy as np
from model.engine import Engine
from model.speaking import Request, Sample
engine = Engine.debug()
audio = np.sin(np.arange(72000) / 20).astype(np.float32)
made = engine.render([Request(("HH", "AY1", "."), 7)], engine.reference([Sample(audio, 24000)]))[0]
print(hashlib.sha256(made.audio.tobytes() + made.tokens.tobytes()).hexdigest())
"""
    told = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert len(told[0].strip()) == len(hashlib.sha256().hexdigest())


def test_rumble_under_the_voice_is_left_out_and_nothing_moves() -> None:
    rate = 24_000
    seconds = np.arange(2 * rate) / rate
    voice = np.where(seconds % 1 < 0.5, np.sin(2 * np.pi * 150 * seconds), 0).astype(np.float32)
    rumble = 2 * np.sin(2 * np.pi * 20 * seconds) + 0.5
    inner = slice(rate // 4, -rate // 4)
    clean = _without_rumble((voice + rumble).astype(np.float32), rate)
    assert np.abs(clean - voice)[inner].max() < 0.15
    assert clean.dtype == np.float32
    assert len(_without_rumble(voice[:10], rate)) == 10


def test_a_stretch_is_mended_and_the_rest_stays(tmp_path: Path) -> None:
    """By the voice that is shipped, of whose tokens it is known how they sound."""
    engine = Engine.load(precision="f32")
    assert engine.mends
    voice = engine.reference([Sample(*soundfile.read(DEMO, dtype="float32"))])
    text = "It rained, and nobody came, so we left."
    request = Request(speak_text(text).phones, 1)
    fine = replace(Sampling(), steps=2)
    (first,) = engine.render([request], voice, fine)
    frames = first.mel.shape[2]
    comma = [n for n, phone in enumerate(request.phones) if phone == ","]
    at = float(first.times[comma[0] + 4, 0]) / 50  # in the second clause
    flawed = replace(first, pronunciation=Pronunciation(99.0, at, 0.0, 0.0))
    other = replace(fine, top_k=20, temperature=1.5)
    again = [replace(request, seed=seed, earlier=flawed) for seed in (2, 3)]
    made = engine.render([*again, request], voice, other)
    for one, number in zip(made, (2, 3), strict=False):
        assert not np.array_equal(one.tokens, first.tokens), f"seed {number} mended nothing"
        same = [bool((x == y).all()) for x, y in zip(one.mel[0].T, first.mel[0].T, strict=False)]
        kept = same.index(False) if False in same else len(same)
        assert kept > 30, "the first clause is as it was"
        assert kept / 93.75 < at, "the trouble is not"
        end = torch.equal(one.mel[..., -30:], first.mel[..., -30:])
        assert end, "the last clause is as it was"
        assert one.times.shape == first.times.shape
        assert abs(one.mel.shape[2] - frames) < frames / 3
    assert not np.array_equal(made[0].tokens, made[1].tokens)
    check_same(engine.render(again[:1], voice, other)[0], made[0])
    # What is not wrong by its words, or can't be cut, is said anew as a whole.
    useless = (first, replace(flawed, complete=False), replace(flawed, times=first.times[:0]))
    whole = [replace(again[0], earlier=earlier) for earlier in (None, *useless)]
    plain, *others = engine.render(whole, voice, other)
    for one in others:
        check_same(one, plain)
