"""The roofline: what bounds a step, and what a profile of CUDA is counted by."""

import time

import pytest

from benchmarks import roofline
from benchmarks.roofline import Machine, bound, count_events
from benchmarks.speed_s1 import OFFICIAL


def test_a_single_sentence_is_bound_by_reading_the_weights() -> None:
    machine = Machine({"f32": 1e20, "bf16": 1e20, "int8": 1e20}, 25e9)
    # Of 25 GB/s: 75 tokens a second in f32 at 300 places, 150 in bf16.
    assert bound(machine, OFFICIAL, 1, 300, "f32") == pytest.approx(75, rel=0.1)
    assert bound(machine, OFFICIAL, 1, 300, "bf16") == pytest.approx(150, rel=0.1)
    assert bound(machine, OFFICIAL, 1, 300, "int8") > 1.5 * bound(machine, OFFICIAL, 1, 300, "bf16")


def test_many_are_bound_by_multiplications() -> None:
    machine = Machine({"f32": 150e9, "bf16": 600e9, "int8": 600e9}, 1e20)
    assert bound(machine, OFFICIAL, 32, 1, "f32") == pytest.approx(150e9 / 0.152e9, rel=0.05)
    assert bound(machine, OFFICIAL, 32, 1, "bf16") > 3 * bound(machine, OFFICIAL, 32, 1, "f32")


def test_a_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SIZE", 256)
    monkeypatch.setattr(roofline, "MEGABYTES", 8)
    found = roofline.measured(time.perf_counter)
    assert set(found.flops) == {"f32", "bf16", "int8"}
    assert min(found.flops.values()) > 1e8
    assert found.bandwidth > 1e8


def test_kernels_and_waits_are_counted() -> None:
    events = [
        ("gemm_kernel", "DeviceType.CUDA"),
        ("softmax_kernel", "DeviceType.CUDA"),
        ("Memcpy DtoH", "DeviceType.CUDA"),
        ("cudaGraphLaunch", "DeviceType.CPU"),
        ("cudaStreamSynchronize", "DeviceType.CPU"),
        ("cudaDeviceSynchronize", "DeviceType.CPU"),
    ]
    assert count_events(events) == (2, 2)
