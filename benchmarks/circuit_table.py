"""How are the figures of searches read? Ratios first, the targets with yes or no, and how far tools agree with ours."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.circuit_job import Found
from benchmarks.job import Figure
from benchmarks.table import aligned

MARKS = {name: (f"<!-- {name}: start -->", f"<!-- {name}: end -->") for name in ("acdc", "eap", "gpt2-acdc")}
OURS = "causalmi"
PLAIN = "plain loop"
Results = Mapping[str, Found | str]


def acdc_table(results: Results) -> str:
    """A row for each program that searched: how much longer it took than ours, what it cost, and what it kept."""
    head = ["program", "times ours", "bare forward passes", "time, memory", "edges kept", "of them kept by ours too"]
    ours = set(_found(results).kept["ACDC"])
    rows = []
    for title, found, operation in _searches(results):
        figure, kept = found.figures[operation], found.kept[operation]
        times = faster(results, "ACDC", title, operation)
        name = f"{title} {found.version}" if operation == "ACDC" else f"{title}'s engine, {PLAIN}"
        choice = f"{len(kept)} of {found.edges['ACDC']}"
        rows.append([name, _times(times), f"**{figure.alone:.1f}**", _cost(figure), choice, str(len(ours & set(kept)))])
    return aligned([head, *rows])


def eap_table(results: Results) -> str:
    """A row for each tool and method."""
    head = [
        "tool",
        "method",
        "times ours",
        "memory, times ours",
        "bare forward + backward passes",
        "time, memory added",
    ]
    rows = [["Hugging Face", "the bare passes", "-", "-", "**1.00**", _cost(_found(results).figures["bare"])]]
    for operation in ("EAP", "EAP-IG"):
        for title, found in results.items():
            if isinstance(found, Found):
                figure = found.figures[operation]
                times, memory = faster(results, operation, title), heavier(results, operation, title)
                name = f"{title} {found.version}"
                rows.append([name, operation, _times(times), _times(memory), f"**{figure.alone:.2f}**", _cost(figure)])
    return aligned([head, *rows])


def work_done(results: Results) -> str:
    """Where our search's time went, as it counts it itself."""
    found = _found(results)
    counted = ", ".join(f"{name} {value:,}" for name, value in found.cost.items())
    return f"Our search counts: {counted or 'nothing'}."


def targets(results: Results) -> list[str]:
    """What was aimed at, with the number found and yes or no."""
    if "ACDC" not in _found(results).figures:
        return list(_targets_of_scores(results))
    if PLAIN not in _found(results).figures and len(results) == 1:
        return []  # a search alone, beside which nothing was run
    peers = [x for title in results if title != OURS and (x := faster(results, "ACDC", title)) is not None]
    return [
        _judged("the plain loop of our engine / ours", ">=", 25, faster(results, "ACDC", OURS, PLAIN)),
        _judged("the fastest other program / ours", ">=", 15, min(peers, default=None)),
    ]


def _targets_of_scores(results: Results) -> Iterator[str]:
    ours = _found(results).figures
    yield _judged("EAP: forward + backward passes", "<=", 2.5, ours["EAP"].alone)
    yield _judged("EAP-IG: forward + backward passes", "<=", 12, ours["EAP-IG"].alone)
    for title in results:
        if title != OURS:
            least = 7 if title == "auto-circuit" else 10
            yield _judged(f"EAP: {title} / ours", ">=", least, faster(results, "EAP", title))
            yield _judged(f"EAP: memory of {title} / ours", ">=", 10, heavier(results, "EAP", title))


def agreement(results: Results) -> list[str]:
    """Whether the plain loop keeps the same edges, how scores correlate with ours, and which tools are not there."""
    ours = _found(results)
    lines = [error for error in results.values() if isinstance(error, str)]
    if PLAIN in ours.kept:
        same = ours.kept["ACDC"] == ours.kept[PLAIN]
        lines.append(f"ours keeps {'the same edges as' if same else 'OTHER EDGES than'} the plain loop of whole runs")
    for title, theirs in results.items():
        if title != OURS and isinstance(theirs, Found):
            lines += _correlations(title, ours, theirs)
    return lines


def _correlations(title: str, ours: Found, theirs: Found) -> Iterator[str]:
    for operation in sorted(ours.scores.keys() & theirs.scores.keys()):
        mine, other = ours.scores[operation], theirs.scores[operation]
        edges = sorted(mine.keys() & other.keys())
        rho = spearman([mine[edge] for edge in edges], [other[edge] for edge in edges])
        yield f"{operation} of {title}: Spearman correlation with ours {rho:.4f} over {len(edges):,} edges"


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """The rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def faster(results: Results, operation: str, title: str, other: str | None = None) -> float | None:
    """How many times ours' bare passes the tool takes for ``other``, or the same operation; None if it was not run."""
    ours, theirs = _figure(results, OURS, operation), _figure(results, title, other or operation)
    return theirs.alone / ours.alone if ours and theirs else None


def heavier(results: Results, operation: str, title: str) -> float | None:
    """How many times ours' added memory the tool adds."""
    ours, theirs = _figure(results, OURS, operation), _figure(results, title, operation)
    return theirs.bytes / max(ours.bytes, 1) if ours and theirs else None


def _searches(results: Results) -> Iterator[tuple[str, Found, str]]:
    for title, found in results.items():
        if isinstance(found, Found):
            yield from ((title, found, operation) for operation in ("ACDC", PLAIN) if operation in found.figures)


def _found(results: Results) -> Found:
    ours = results[OURS]
    assert isinstance(ours, Found)  # it is this package: where it does not run, nothing is reported
    return ours


def _figure(results: Results, title: str, operation: str) -> Figure | None:
    found = results[title]
    return found.figures.get(operation) if isinstance(found, Found) else None


def _cost(figure: Figure) -> str:
    return f"{figure.seconds:.3g} s, {figure.bytes / 2**20:,.0f} MB"


def _times(x: float | None) -> str:
    return "-" if x is None else f"{x:.1f}"


def _judged(what: str, sign: str, bound: float, found: float | None) -> str:
    if found is None:
        return f"{what} {sign} {bound:g}: not measured"
    met = found <= bound if sign == "<=" else found >= bound
    return f"{what} {sign} {bound:g}: {'yes' if met else 'no'}, {found:.3g}"
