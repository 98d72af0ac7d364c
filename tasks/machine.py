"""What this machine is: processor, cores, memory, and the libraries that compute on it."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROCESSOR, _MEMORY = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# The instruction sets that PyTorch's matrix products differ by.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd")
_LIBRARIES = ("torch", "numba", "numpy")


@dataclass(frozen=True)
class Machine:
    """`memory_gigabytes` is None where the system does not say."""

    processor: str
    instructions: tuple[str, ...]
    cores: int
    memory_gigabytes: float | None
    libraries: dict[str, str]


def this_machine() -> Machine:
    """The machine that this process runs on; cores are those that it may use, which a
    container may bound."""
    lines = _PROCESSOR.read_text().splitlines() if _PROCESSOR.is_file() else []
    facts = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    flags = facts.get("flags", facts.get("Features", "")).split()
    return Machine(
        processor=facts.get("model name") or platform.processor() or platform.machine(),
        instructions=tuple(name for name in _INSTRUCTIONS if name in flags),
        cores=_cores(),
        memory_gigabytes=_memory(),
        libraries={name: installed(name) or "" for name in _LIBRARIES},
    )


def installed(package: str) -> str | None:
    """The version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota, _, period = _QUOTA.read_text().partition(" ") if _QUOTA.is_file() else ("max", "", "")
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def _memory() -> float | None:
    for line in _MEMORY.read_text().splitlines() if _MEMORY.is_file() else ():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None
