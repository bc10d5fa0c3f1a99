"""How are the figures read? One table a workload, the targets with yes or no, and how far the tools' logits differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.job import Figure, Result

MARKS = ("<!-- figures: start -->", "<!-- figures: end -->")
OURS = "causalmi"
LENS = "TransformerLens"


@dataclass(frozen=True)
class Measured:
    """One workload, and by tool its result, or why there is none."""

    n: int
    length: int
    layers: int
    heads: int
    results: Mapping[str, Result | str]

    @property
    def title(self) -> str:
        return f"{self.n} pairs of {self.length} tokens"

    def figure(self, tool: str, operation: str) -> Figure | None:
        """What ``operation`` cost with ``tool``; None where it was not run."""
        result = self.results.get(tool)
        return result.figures.get(operation) if isinstance(result, Result) else None


def table(measured: Measured) -> str:
    """A row for each operation, a column for each tool, in Markdown that is also aligned."""
    head = ["operation", *(_heading(tool, result) for tool, result in measured.results.items()), f"{LENS} / {OURS}"]
    rows = [[name, *_cells(measured, operation)] for operation, name in _operations(measured)]
    return aligned([head, *rows])


def _operations(measured: Measured) -> Iterable[tuple[str, str]]:
    """What was measured, and how it is called in the table."""
    names = {0: "first", measured.length // 2: "middle", measured.length - 1: "last"}
    ours = measured.results[OURS]
    for operation in ours.figures if isinstance(ours, Result) else ():
        kind, *place = operation.split()
        if kind == "edit":
            yield operation, f"one edit, layer {place[0]}, {names[int(place[1])]} position"
    yield "bare", "bare forward pass, all logits"
    residual = f"{measured.layers} × {measured.length} sites of the residual stream, each"
    heads = f"{measured.layers} × {measured.heads} heads, all positions, each"
    yield from (("resid_post", residual), ("method resid_post", "the same by `activation_patching`"))
    yield from (("z", heads), ("method z", "the same by `activation_patching`"))


def _heading(tool: str, result: Result | str) -> str:
    return f"{tool} {result.version}" if isinstance(result, Result) else tool


def _cells(measured: Measured, operation: str) -> list[str]:
    figures = {tool: measured.figure(tool, operation) for tool in measured.results}
    ratio = times_faster(measured, operation)
    return [*("-" if f is None else _cell(f) for f in figures.values()), "-" if ratio is None else f"{ratio:.1f}"]


def _cell(figure: Figure) -> str:
    """Multiple of a bare pass, seconds, memory; for an edit also the multiple with what is done once before it."""
    edit = figure.operation.startswith("edit")
    multiple, seconds = (figure.alone, figure.seconds) if edit else (figure.site, figure.site * figure.bare)
    once = f", with recording {figure.site:.2f}" if edit and figure.fixed else ""
    part = f", {figure.run} run" if figure.run < figure.sites else ""
    return f"**{multiple:.2f}**{once}; {seconds:.3g} s, {figure.bytes / 2**20:.0f} MB{part}"


def times_faster(measured: Measured, operation: str) -> float | None:
    """How many times the bare passes of ours TransformerLens takes; for an edit our recording is not counted."""
    ours, theirs = (measured.figure(tool, operation) for tool in (OURS, LENS))
    if ours is None or theirs is None or operation == "bare":
        return None
    return theirs.alone / ours.alone if operation.startswith("edit") else theirs.site / ours.site


def targets(workloads: Sequence[Measured]) -> list[str]:
    """What was aimed at, with the number found and yes or no."""
    longest = max(workloads, key=lambda m: m.length)
    last = longest.figure(OURS, f"edit {longest.layers // 2} {longest.length - 1}")
    lines = [_judged(f"an edit of the last of {longest.length} positions, layer {longest.layers // 2}", "<", 0.1, last)]
    for m in workloads:
        for kind, what, most, least in (("resid_post", "residual stream", 0.25, 5.0), ("z", "heads", 0.45, 2.5)):
            lines.append(_judged(f"{what}, {m.title}: bare passes a site", "<=", most, m.figure(OURS, kind)))
            lines.append(_judged(f"{what}, {m.title}: {LENS} / {OURS}", ">=", least, times_faster(m, kind)))
    return lines


def _judged(what: str, sign: str, bound: float, found: Figure | float | None) -> str:
    if isinstance(found, Figure):
        found = found.alone if found.operation.startswith("edit") else found.site
    if found is None:
        return f"{what} {sign} {bound:g}: not measured"
    met = {"<": found < bound, "<=": found <= bound, ">=": found >= bound}[sign]
    return f"{what} {sign} {bound:g}: {'yes' if met else 'no'}, {found:.3g}"


def agreement(measured: Measured) -> list[str]:
    """For each peer the largest difference from our patched logits, beside how far the edits move them."""
    ours = measured.results[OURS]
    lines = []
    for tool, result in measured.results.items():
        if tool == OURS or not isinstance(ours, Result):
            continue
        if not isinstance(result, Result):
            lines.append(f"{measured.title}: {result}")
            continue
        keys = sorted(ours.logits.keys() & result.logits.keys())
        apart = max((float((ours.logits[k] - result.logits[k]).abs().max()) for k in keys), default=float("nan"))
        moved = max((float((ours.logits[k] - ours.logits["clean"]).abs().max()) for k in keys), default=float("nan"))
        lines.append(
            f"{measured.title}: patched logits of {tool} differ from ours by at most {apart:.1g} "
            f"on {len(keys)} sites, whose edits move them by up to {moved:.2g}"
        )
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown whose columns line up."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def write_between(page: Path, text: str, marks: tuple[str, str] = MARKS) -> None:
    """Replace what is between the ``marks`` of ``page``."""
    start, end = marks
    before, _, rest = page.read_text().partition(start)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{start}\n{text}\n{end}{after}")
