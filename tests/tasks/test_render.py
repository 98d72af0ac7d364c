from dataclasses import dataclass, field

import numpy as np

from model.pronunciation import Pronunciation
from model.sampling import Sampling
from model.speaking import Rendering
from storage.objects import ObjectStore
from tasks.gate import Gate
from tasks.render import ATTEMPTS, RETRY_TOP_K, Line, render_takes
from tasks.takes import decode_take, take_key

PHONES = ("HH", "AH0", "L", "OW1", ".")
# Words that are lost, more or less.
WORDS = {
    name: Pronunciation(lost, 0.1, 0.0, 0.0)
    for name, lost in {"clear": 1.0, "lost 2": 30.0, "lost 3": 45.0, "lost 4": 60.0}.items()
}


@dataclass
class Scripted:
    """An engine that says what each phone sequence comes to: "good", "bad" or an error."""

    outcomes: dict[tuple[str, ...], list[str]]
    sample_rate: int = 24000
    batches: list[list[tuple[str, ...]]] = field(default_factory=list)
    seeds: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    candidates: list[int] = field(default_factory=list)
    mends: bool = False
    earlier: list[Rendering | None] = field(default_factory=list)

    def render(self, requests, reference, sampling, on_done):
        self.batches.append([request.phones for request in requests])
        self.candidates.append(sampling.top_k)
        for number, request in enumerate(requests):
            self.earlier.append(request.earlier)
            seeds = self.seeds.setdefault(request.phones, [])
            if request.seed not in seeds:
                seeds.append(request.seed)
            outcome = self.outcomes[request.phones][len(seeds) - 1]
            if outcome == "error":
                raise ValueError("no such phone")
            samples = 9600 if outcome != "bad" else 9600 * (1 + len(seeds))
            audio = np.full(samples, 0.1 * len(seeds), np.float32)
            tokens = np.zeros(3, np.int16)
            made = Rendering(audio, tokens, not outcome.startswith("bad"), WORDS.get(outcome))
            on_done(number, made)


def render(engine, tmp_path):
    store = ObjectStore(str(tmp_path / "store"))
    lines = [Line(take_key(phones, "en", "v", "m", {}, 0), phones) for phones in engine.outcomes]
    told = []

    def on_take(line, take):
        assert store.get(line.key) is not None, "a take is stored before it is told"
        told.append((line.phones, take.attempts, take.problem))

    failures = render_takes(lines, engine, None, Sampling(), store, on_take, Gate())
    takes = {}
    for line in lines:
        data = store.get(line.key)
        takes[line.phones] = decode_take(data) if data is not None else None
    return takes, told, {line.phones: failures[line.key] for line in lines if line.key in failures}


def test_good_takes_are_stored_at_once(tmp_path):
    engine = Scripted({PHONES: ["good"], PHONES * 2: ["good"]})
    takes, told, failures = render(engine, tmp_path)
    assert told == [(PHONES, 1, ""), (PHONES * 2, 1, "")]
    assert failures == {}
    assert len(engine.batches) == 1
    assert takes[PHONES].complete


def test_a_bad_take_is_tried_again_with_other_seeds(tmp_path):
    engine = Scripted({PHONES: ["bad", "good"], PHONES * 2: ["good"]})
    takes, told, _ = render(engine, tmp_path)
    assert told == [(PHONES * 2, 1, ""), (PHONES, 2, "")]
    assert engine.batches[1] == [PHONES]
    assert len(set(engine.seeds[PHONES])) == 2
    assert takes[PHONES].problem == ""
    assert takes[PHONES].rejected == ("ended at the length bound or in a repetition",)


def test_the_best_of_bad_takes_is_kept_with_its_problem(tmp_path):
    engine = Scripted({PHONES: ["bad"] * ATTEMPTS})
    takes, told, failures = render(engine, tmp_path)
    assert len(engine.batches) == ATTEMPTS
    assert failures == {}
    assert told == [
        (PHONES, 1, "ended at the length bound or in a repetition")
    ]  # the first is the shortest
    assert len(takes[PHONES].audio) == 2 * 9600


def test_a_line_that_cannot_be_rendered_stops_no_other(tmp_path):
    engine = Scripted({PHONES: ["good"], ("??",): ["error"], PHONES * 2: ["good"]})
    takes, told, failures = render(engine, tmp_path)
    assert [phones for phones, _, _ in told] == [PHONES, PHONES * 2]
    assert failures == {("??",): "ValueError: no such phone"}
    assert takes["??",] is None


def test_an_error_at_the_second_try_leaves_the_first_take(tmp_path):
    engine = Scripted({PHONES: ["bad", "error", "error"]})
    takes, told, failures = render(engine, tmp_path)
    assert failures == {}
    assert told == [(PHONES, 1, "ended at the length bound or in a repetition")]
    assert takes[PHONES] is not None


def test_nothing_to_render(tmp_path):
    assert render(Scripted({}), tmp_path) == ({}, [], {})


def test_another_try_has_more_to_choose_from(tmp_path):
    # With one candidate a token, another seed would only say the same again.
    engine = Scripted({PHONES: ["bad", "bad", "bad"]})
    render(engine, tmp_path)
    assert engine.candidates[0] == Sampling().top_k == 1
    assert set(engine.candidates[1:]) == {RETRY_TOP_K}


def test_the_clearest_so_far_is_mended(tmp_path):
    other = PHONES * 2
    engine = Scripted(
        {PHONES: ["lost 3", "lost 4", "clear"], other: ["lost 4", "lost 2", "clear"]}, mends=True
    )
    takes, told, _ = render(engine, tmp_path)
    assert told == [(PHONES, 3, ""), (other, 3, "")]
    lost = [earlier and earlier.pronunciation.lost for earlier in engine.earlier]
    assert lost == [None, None, 45.0, 60.0, 45.0, 30.0]
    assert takes[PHONES].measures["lost"] == 1.0


def test_what_ended_is_clearer_than_what_did_not(tmp_path):
    engine = Scripted(
        {PHONES: ["bad", "lost 4", "bad"], PHONES * 2: ["lost 4", "bad", "bad"]}, mends=True
    )
    render(engine, tmp_path)
    ended = [earlier and earlier.complete for earlier in engine.earlier]
    assert ended == [None, None, False, True, True, True]


def test_an_engine_that_cannot_mend_is_given_nothing_earlier(tmp_path):
    engine = Scripted({PHONES: ["lost 3"] * ATTEMPTS})
    render(engine, tmp_path)
    assert engine.earlier == [None] * ATTEMPTS
