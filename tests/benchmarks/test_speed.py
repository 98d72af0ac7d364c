"""The speed benchmark: what it compares computes the same, and its gate shuts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import roofline, speed, speed_s1, speed_s2
from benchmarks.speed_s1 import GREEDY, Case, Plain
from benchmarks.speed_s2 import Check, Ratio
from model.s1 import S1Config, Text2SemanticDecoder
from model.slots import SlotTable

TINY = S1Config(width=32, heads=2, layers=2, codes=64, bert=4)


@pytest.fixture(scope="module")
def s1() -> Text2SemanticDecoder:
    return speed_s1.network(TINY)


def test_plain_and_engine_make_the_same_tokens(s1: Text2SemanticDecoder) -> None:
    many = speed_s1.sentences(s1, 4, 30)
    plain, table = Plain(s1, GREEDY), SlotTable(s1, 4, max(one.places for one in many), GREEDY)
    plain.prefill(many)
    table.fill(list(enumerate(many)))
    assert len({len(one.phones) for one in many}) > 1, "the plain one has to pad"
    assert torch.allclose(plain.logits, table.logits, atol=1e-4)
    made = torch.stack([plain.step() for _ in range(20)], 1)
    for _ in range(20):
        table.step(torch.arange(4), table.capacity)
    assert torch.equal(made, table.tokens[:, :20])


def test_the_gate_lets_the_engine_pass(s1: Text2SemanticDecoder) -> None:
    assert speed_s1.check_exact(s1, 5) < speed_s1.TOLERANCE
    for precision in speed_s1.PRECISIONS:
        assert speed_s1.check_invariance(s1, precision, 12) == 7
    same = speed_s1.effect(s1, "f32", speed_s1.sentences(s1, 2, 8))
    assert same.agreement == 1
    assert same.largest == 0
    coarse = speed_s1.effect(s1, "int8", speed_s1.sentences(s1, 2, 8))
    assert 0 < coarse.largest < coarse.deviation


def test_the_gate_shuts_on_another_result(
    s1: Text2SemanticDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = SlotTable.fill

    def wrong(self, entries) -> None:
        fill(self, entries)
        self.logits += 0.001 * len(entries) * torch.arange(self.logits.shape[1])

    monkeypatch.setattr(SlotTable, "fill", wrong)
    with pytest.raises(AssertionError, match="f32"):
        speed_s1.check_exact(s1, 2)
    with pytest.raises(AssertionError, match="not the same"):
        speed_s1.check_invariance(s1, "f32", 12)


def test_ratios_are_medians_of_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([4.0, 2.0, 2.0, 4.0, 9.0, 1.0, 1.0, 9.0, 3.0, 1.0, 1.0, 3.0])
    monkeypatch.setattr(speed, "seconds", lambda work: next(took))
    case = Case("decode", "f32", 8, 12, lambda: None, lambda: None)
    found = speed.measure(case, 3)
    assert (found.least, found.ratio, found.most) == (2, 3, 9)
    assert (found.plain, found.engine) == (12 / 3, 12 / 1)


@pytest.fixture
def tiny(s1: Text2SemanticDecoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The whole benchmark in seconds: a tiny S1, and S2's part measured beforehand."""
    ratio = Ratio("v2, bf16", 2.0, 1.9, 2.1, 0.5, 0.25)
    monkeypatch.setattr(speed_s1, "network", lambda: s1)
    monkeypatch.setattr(speed_s1, "built_in", lambda: s1)
    monkeypatch.setattr(roofline, "SIZE", 64)
    monkeypatch.setattr(roofline, "MEGABYTES", 1)
    monkeypatch.setattr(
        speed_s2, "measure", lambda rounds, lines: ([Check("mel", 0.1, 1.0)], [ratio], {})
    )
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_report_is_written(tiny: None, tmp_path: Path) -> None:
    assert speed.main(["--quick", "--rounds", "1", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "speed.json").read_text())
    assert {one["precision"] for one in record["measured"]} == {"f32", "bf16", "int8"}
    assert all(one["ratio"] > 0 for one in record["measured"])
    assert all(one["roofline"] > 0 for one in record["measured"] if one["name"] == "decode")
    assert record["s2"]["ratios"][0]["median"] == 2
    assert "book" not in record
    lines = (tmp_path / "speed-table.md").read_text()
    assert "same tokens alone, in a batch, after refills" in lines
    assert lines.count("| decode |") == 6
    assert "| v2, bf16 | **2.00** (1.90 to 2.10) |" in lines
    assert ("No CUDA device" in lines) != torch.cuda.is_available()
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_a_queue_is_the_same_work_for_both(s1: Text2SemanticDecoder) -> None:
    case = speed_s1.queue_case(s1, 2, "f32")
    assert case.plain() == case.engine() == case.tokens


def test_where_s2_is_wrong_nothing_is_written(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = ([Check("windows", 0.5, 1e-4)], [], {})
    monkeypatch.setattr(speed_s2, "measure", lambda rounds, lines: failed)
    monkeypatch.setattr(speed, "cases", lambda quick: [])
    monkeypatch.setattr(speed, "gate", lambda quick: ({}, []))
    assert speed.main(["--quick", "--out", str(tmp_path / "out")]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
