"""How are the figures of learning alignments read? Ratios, multiples of the least there is, targets, agreement."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from benchmarks.circuit_job import Found
from benchmarks.job import Figure
from benchmarks.table import aligned

OURS = "causalmi"
MARKS = {name: (f"<!-- align-{name}: start -->", f"<!-- align-{name}: end -->") for name in ("step", "gpt2", "sweep")}
WANTED = {"step": {"step 2": 3, "step 6": 6, "step 10": 20}, "gpt2": {"step 6": 12}, "sweep": {"sweep": 15}}
SAME = 1e-4  # how far losses of the same rotation may be apart
Results = Mapping[str, Found | str]


def middle(rounds: Sequence[Found]) -> Found:
    """Of several rounds by operation the figure in the middle, and the most memory."""
    figures = {}
    for name in rounds[0].figures:
        every = sorted((found.figures[name] for found in rounds), key=lambda figure: figure.site)
        taken = every[(len(every) - 1) // 2]
        figures[name] = replace(taken, bytes=int(statistics.median(figure.bytes for figure in every)))
    return replace(rounds[0], figures=figures)


def align_table(results: Results) -> str:
    """A row for each tool and operation."""
    head = ["operation", "tool", "times ours", "bare forward + backward", "suffix forward + backward", "time, memory"]
    rows = []
    for operation in _ours(results).figures:
        for title, found in results.items():
            if isinstance(found, Found) and (figure := found.figures.get(operation)):
                times, least = faster(results, operation, title), _least(results, operation)
                name = f"{title} {found.version}"
                cells = [_number(times), f"**{figure.site:.3g}**", _number(figure.site / least.site if least else None)]
                rows.append([_title(figure), name, *cells, _cost(figure)])
    return aligned([head, *rows])


def targets(part: str, results: Results) -> Iterator[str]:
    """What was aimed at, with the number found and yes or no."""
    for operation, least in WANTED[part].items():
        for title in results:
            if title != OURS and operation in _ours(results).figures:
                times = faster(results, operation, title)
                found = "not measured" if times is None else f"{'yes' if times >= least else 'no'}, {times:.3g}"
                yield f"{_words(operation)}: {title} / ours >= {least}: {found}"


def agreement(results: Results) -> Iterator[str]:
    """Whether the tools compute the same loss of the same rotation."""
    ours = _ours(results).scores.get("loss", {})
    for title, found in results.items():
        if isinstance(found, str):
            yield found
        elif title != OURS and ours:
            apart = max(abs(ours[layer] - x) for layer, x in found.scores["loss"].items())
            same = "the same" if apart <= SAME else "ANOTHER"
            yield f"{title} computes {same} loss for the same rotation, to {apart:.1g} of {max(ours.values()):.3g}"


def faster(results: Results, operation: str, title: str) -> float | None:
    """How many times ours' bare passes the tool takes for one step or fit; None if it was not run."""
    ours, theirs = (_figure(results[name], operation) for name in (OURS, title))
    return theirs.site / ours.site if ours and theirs else None


def _least(results: Results, operation: str) -> Figure | None:
    """The blocks above the place alone."""
    kind, *layer = operation.split()
    return _figure(results[OURS], f"suffix {layer[0]}") if kind in ("step", "cold") else None


def _title(figure: Figure) -> str:
    if figure.operation != "sweep":
        return _words(figure.operation)
    part = f", {figure.run} run" if figure.run < figure.sites else ""
    return f"a fit of the sweep's {figure.sites}{part}"


def _words(operation: str) -> str:
    """What was measured, in words."""
    kind, *layer = operation.split()
    names = {"bare": "the bare passes", "cold": "recording, sources, first step", "step": "one step",
             "suffix": "the blocks above alone, last position", "sweep": "the sweep"}  # fmt: skip
    return names[kind] + (f", layer {layer[0]}" if layer else "")


def _ours(results: Results) -> Found:
    ours = results[OURS]
    assert isinstance(ours, Found)  # it is this package: where it does not run, nothing is reported
    return ours


def _figure(found: Found | str, operation: str) -> Figure | None:
    return found.figures.get(operation) if isinstance(found, Found) else None


def _cost(figure: Figure) -> str:
    return f"{figure.site * figure.bare:.3g} s, {figure.bytes / 2**20:,.0f} MB"


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:.2f}" if x < 10 else f"{x:.0f}"
