import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoint import random_model
from model.engine import Engine
from model.sampling import Sampling
from model.speaking import Sample
from tasks import voice_measures
from tasks.voice_measures import (
    Scores,
    edit_distance,
    score,
    speaker_judge,
    why_not_tuned,
)

WORDS = st.lists(st.sampled_from("abc"), max_size=8)


@pytest.mark.parametrize(
    ("wanted", "heard", "errors"),
    [("kitten", "sitting", 3), ("", "ab", 2), ("ab", "", 2), ("abc", "abc", 0), ("abc", "ac", 1)],
)
def test_edit_distance(wanted, heard, errors):
    assert edit_distance(wanted, heard) == errors


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_distance(one, two, three):
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)


def test_tuning_must_improve_and_spoil_nothing():
    before = Scores(0.6, 0.2, 0.1)
    assert why_not_tuned(True, before, Scores(0.7, 0.2, 0.11)) == ""
    assert why_not_tuned(True, before, Scores(0.7, 0.5, 0.1)) == "", "the better judge decides"
    assert "held out" in why_not_tuned(False, before, before)
    assert "less intelligible" in why_not_tuned(True, before, Scores(0.7, 0.2, 0.2))
    assert "less intelligible" in why_not_tuned(
        True, Scores(0.6, 0.2, None), Scores(0.7, 0.3, None)
    )
    assert "less alike" in why_not_tuned(True, before, Scores(0.5, 0.2, 0.1))


def test_scores_are_the_same_every_time(monkeypatch):
    monkeypatch.setattr(voice_measures, "SENTENCES", ("Two words.", "A few more words."))
    model = random_model(0)
    engine = Engine(model)
    rng = np.random.default_rng(0)
    sample = Sample(rng.normal(0, 0.1, 3 * 16_000).astype(np.float32), 16_000)

    def embed(audio, sample_rate):
        return engine.voice_vector(Sample(audio, sample_rate))

    done: list[float] = []

    def scored() -> Scores:
        person = [embed(sample.audio, 16_000)]
        return score(engine, sample, person, embed, None, model.recogniser, Sampling(), done.append)

    first = scored()
    assert first == scored()
    assert -1 <= first.likeness <= 1
    assert first.word_error is None
    assert first.error == first.phone_error > 0.5, "nobody understands random weights"
    assert done == 2 * [0.25, 0.5, 0.75, 1]


def test_the_best_judge_that_is_here_is_named():
    name, embed = speaker_judge(Engine.debug())
    assert name in ("Resemblyzer", "the model's reference encoder")
    vector = embed(np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32), 16_000)
    assert vector.ndim == 1 and np.isfinite(vector).all()
