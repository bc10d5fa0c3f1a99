"""How do a circuit and its evaluation look in a terminal?"""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from causalmi.results.circuit import CircuitEvaluation
from causalmi.runs.discover import Discovered, strongest
from causalmi.runs.show import COLOURS
from causalmi.stats.estimate import Estimate

SHOWN = 10  # edges


def discovered(name: str, result: Discovered) -> RenderableType:
    """What was found, how it does beside random circuits, its strongest edges, and the verdict."""
    found, judged = result.found, result.judged
    circuit, settings = found.circuit, found.settings
    of = f"{len(circuit):,} of {len(circuit.graph.edges):,} edges, {len(circuit.nodes):,} nodes"
    title = Text(f"{name}: a circuit of {judged.model}, {of}", style="bold")
    pairs = f"searched on {settings['n']:,} pairs, judged on {judged.full.n:,} others, seed {settings['seed']}"
    head = Text(f"{settings['method']}, {judged.metric}, {judged.ablation}; {pairs}")
    return Group(title, head, numbers(judged), _edges(result), sentence(judged))


def evaluated(name: str, judged: CircuitEvaluation) -> RenderableType:
    """All findings of an evaluation, a row each, with the sentences, and the verdict."""
    grid = Table("test", "estimate", "p", "verdict", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for found in judged.findings:
        p = found.p if found.p_adjusted is None else found.p_adjusted
        number = found.estimate or ("" if found.value is None else f"{found.value:.2f}")
        shown = Text(found.verdict, style=COLOURS[found.verdict])
        grid.add_row(Text(found.name), Text(str(number)), "" if p is None else f"{p:.3f}", shown)
    reasons = [Text(f"{f.name}: {f.sentence}", style="dim") for f in judged.findings]
    title = Text(f"{name} on {judged.model}, seed {judged.seed}: {judged.claim}", style="bold")
    return Group(title, numbers(judged), grid, *reasons, sentence(judged))


def numbers(judged: CircuitEvaluation) -> RenderableType:
    """The metric at both ends and of the circuit, its faithfulness, and that of random circuits."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("", judged.metric):
        grid.add_column(column, no_wrap=True)
    grid.add_column("faithfulness", overflow="fold")  # or the reason why there is none
    grid.add_row("the network", Text(f"{judged.full:.4g}"), "1")
    grid.add_row("the circuit", Text(f"{judged.own:.4g}"), Text(str(judged.estimate or "undefined")))
    grid.add_row("every edge ablated", Text(f"{judged.empty:.4g}"), "0")
    for control, value in judged.deciding.controls.items():
        kind = control.removeprefix("random ")
        label = f"{value.n} random ({kind})" if isinstance(value, Estimate) else f"random ({kind})"
        grid.add_row(Text(label), "", Text(str(value)))
    return grid


def sentence(judged: CircuitEvaluation) -> Text:
    """The verdict."""
    return Text(judged.sentence, style=f"bold {COLOURS[judged.verdict]}")


def _edges(result: Discovered) -> RenderableType:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("strongest edges", no_wrap=True)
    grid.add_column("score" if "score" in result.found.frame else "effect of removal", justify="right")
    for name, score in strongest(result, SHOWN):
        grid.add_row(Text(name), f"{score:.4g}")
    return grid
