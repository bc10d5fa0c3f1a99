"""What does a piece of work cost? Its seconds, a bare forward pass beside it, and the most memory it adds."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.job import Figure


@dataclass(frozen=True)
class Cost:
    """Of one piece of work."""

    seconds: float
    bytes: int  # at its peak, above what the process held before the first piece


def measure(
    pieces: Iterable[Callable[[], object]], bare: Callable[[], object], *, device: str, every: int
) -> tuple[list[Cost], float]:
    """Do ``pieces`` in turn, a bare pass before each ``every``th and at the end; the costs, and the median pass."""
    costs: list[Cost] = []
    passes = [_seconds(bare, device)]
    before = _settle(device)
    for i, piece in enumerate(pieces):
        if i and i % every == 0:
            passes.append(_seconds(bare, device))
        _settle(device)
        seconds = _seconds(piece, device)
        costs.append(Cost(seconds, _peak(device) - before))
    return costs, statistics.median([*passes, _seconds(bare, device)])


def figure_of_bare(bare: Callable[[], object], device: str) -> Figure:
    """The bare forward pass itself, after one that warms up."""
    bare()
    costs, seconds = measure([bare, bare], bare, device=device, every=2)
    return Figure("bare", seconds, 0.0, seconds, max(cost.bytes for cost in costs))


def figure_of_edit(name: str, costs: Sequence[Cost], bare: float, fixed: float = 0.0) -> Figure:
    """One edit, from its repetitions."""
    return Figure(name, statistics.median(c.seconds for c in costs), fixed, bare, max(c.bytes for c in costs))


def figure_of_sweep(name: str, costs: Sequence[Cost], bare: float, *, sites: int, run: int) -> Figure:
    """A sweep, from what was done once and then from its parts, which together ran ``run`` of ``sites``."""
    once, *parts = costs
    seconds = sum(cost.seconds for cost in parts) / run
    return Figure(name, seconds, once.seconds, bare, max(cost.bytes for cost in costs), sites, run)


def _seconds(work: Callable[[], object], device: str) -> float:
    """On a CPU the processor's time in all threads: other programs on the machine do not count."""
    if not device.startswith("cuda"):
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _settle(device: str) -> int:
    """Give back all memory that is not in use, forget the peak so far, and say what is in use."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    with suppress(OSError, AttributeError):  # another C library than glibc keeps its memory
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with suppress(OSError):  # without it the peak of the whole process stands, and increases are understated
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else _status("VmHWM")


def _status(field: str) -> int:
    """Resident memory now (VmRSS) or at its peak (VmHWM), in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # no Linux: the peak of the whole process stands for both
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
