"""How do results and hypothesis files look in a terminal?"""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from causalmi.results import InterchangeResult, Result
from causalmi.results.alignment import AlignmentResult
from causalmi.results.assessment import BLIND, STRICTNESS, Assessment
from causalmi.results.verdicts import weakest
from causalmi.runs.hypothesis_file import HypothesisFile
from causalmi.stats.estimate import Estimate

COLOURS = {"supported": "green", "rejected": "red", "inconclusive": "yellow", "uninformative": "magenta"}


def table(result: Result | Assessment) -> RenderableType:
    """A table with a column for each finding, then the verdict in a sentence; of an assessment a row for each test."""
    if isinstance(result, Assessment):
        return assessed(result)
    if isinstance(result, InterchangeResult):
        return interchanged(result)
    head, *lines, sentence = str(result).split("\n")
    style = f"bold {COLOURS[result.verdict]}"
    return Group(Text(head, style="bold"), *map(Text, lines), Text(sentence.strip(), style=style))


def interchanged(result: InterchangeResult) -> RenderableType:
    """What an interchange test found."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("interchange of", overflow="fold")  # so that it gives way to the numbers
    for f in result.findings:
        grid.add_column(" + ".join(f.variables), no_wrap=True)
    for label, cells in _rows(result):
        grid.add_row(label, *("" if c is None else "-" if isinstance(c, str) else str(c) for c in cells))
    grid.add_section()
    grid.add_row("verdict", *(Text(f.verdict, style=COLOURS[f.verdict]) for f in result.findings))
    pairs = f"{len(result.frame)} pairs, seed {result.seed}"
    head = f"network {result.model}, {pairs}; its own task accuracy {result.accuracy}"
    title = Text(f"{result.hypothesis}: {result.claim}", style="bold")
    sentence = Text(result.sentence, style=f"bold {COLOURS[result.verdict]}")
    return Group(title, grid, Text(head), *_missing(result), sentence)


def found_places(result: AlignmentResult) -> RenderableType:
    """How an alignment was found, and what its interchange test on the pairs held out says."""
    lines = str(result).removeprefix(str(result.test)).strip().split("\n")
    return Group(*map(Text, lines), Text(""), interchanged(result.test))


def assessed(result: Assessment) -> RenderableType:
    """What all tests say, and what each of them cannot see."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("test", "measure", "estimate", "control", "verdict"):
        grid.add_column(name, overflow="fold")  # a number that does not fit goes on in the next line
    blind, reasons = list[RenderableType](), list[RenderableType]()
    for test, found in result.results.items():
        if isinstance(found, str):
            grid.add_row(test, "", "", "", "not available")
            reasons.append(Text(f"{test}: {found}"))
        else:
            numbers = [str(x) if x else "-" for x in (found.estimate, found.control)]
            grid.add_row(test, found.measure, *numbers, Text(found.verdict, style=COLOURS[found.verdict]))
            reasons.append(Text(f"{weakest(found.parts).name}: {found.sentence}"))
        blind.append(Text(f"{test}: {BLIND[test]}", style="dim"))
    title = Text(f"{result.hypothesis}: {result.claim}", style="bold")
    head = Text(f"network {result.model}, seed {result.seed}. {STRICTNESS}")
    sentence = Text(result.sentence, style=f"bold {COLOURS[result.verdict]}")
    return Group(title, grid, head, *blind, Text(""), *reasons, Text(""), sentence)


def _rows(result: InterchangeResult) -> Iterator[tuple[str, list[Estimate | str | None]]]:
    found = result.findings
    yield "IIA", [f.iia for f in found]
    yield "  label changes", [f.changed for f in found]
    yield "  label stays", [f.unchanged for f in found]
    if any(f.vocabulary is not None and f.iia is not None and f.vocabulary.value != f.iia.value for f in found):
        yield "  all outputs", [f.vocabulary for f in found]
    yield "controls", [None] * len(found)
    for name in dict.fromkeys(name for f in found for name in f.controls):
        yield f"  {name}", [f.controls.get(name) for f in found]


def _missing(result: InterchangeResult) -> list[RenderableType]:
    """Why a control could not be had."""
    missing = [(f.name, name, c) for f in result.findings for name, c in f.controls.items() if isinstance(c, str)]
    return [Text(f"{test}, {name}: {reason}") for test, name, reason in missing]


def listing(files: Sequence[HypothesisFile]) -> RenderableType:
    """For each file its hypotheses with their parameters and what they say, then its tasks."""
    parts: list[RenderableType] = []
    for file in files:
        grid = Table("hypothesis", "parameters", "what it says", title=escape(str(file.path)), title_justify="left")
        grid.columns[0].no_wrap = True
        for name, factory in file.hypotheses.items():
            settings = "\n".join(str(p) for p in factory.parameters.values())
            grid.add_row(*(escape(x) for x in (f"@{name}", settings, factory.summary)))
        parts += [grid, *([Text(f"tasks: {', '.join(file.tasks)}")] if file.tasks else [])]
    return Group(*parts)
