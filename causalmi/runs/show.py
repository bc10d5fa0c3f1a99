"""How do results and hypothesis files look in a terminal?"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from causalmi.results import InterchangeResult
from causalmi.runs.hypothesis_file import HypothesisFile
from causalmi.stats.estimate import Estimate

COLOURS = {"supported": "green", "rejected": "red", "inconclusive": "yellow", "uninformative": "magenta"}


def table(results: Sequence[InterchangeResult]) -> RenderableType:
    """One table of the tests, then the verdict in a sentence."""
    parts: list[RenderableType] = []
    for result in results:
        grid = Table(title=escape(f"{result.hypothesis}: {result.claim}"), title_justify="left", title_style="bold")
        for column in ("test", "IIA", "pairs", "label changes", "label stays", *_control_names(result), "verdict"):
            grid.add_column(column, overflow="fold")
        for f in result.findings:
            had = (f.controls.get(name) for name in _control_names(result))
            controls = [str(c) if isinstance(c, Estimate) else "-" for c in had]
            cells = [f.name, f.iia or "-", f.iia.n if f.iia else 0, f.changed or "-", f.unchanged or "-", *controls]
            grid.add_row(*(escape(str(c)) for c in cells), Text(f.verdict, style=COLOURS[f.verdict]))
        head = f"network {result.model}, seed {result.seed}; its own task accuracy {result.accuracy}"
        parts += [
            grid,
            Text(head),
            *_missing(result),
            *_vocabulary(result),
            Text(result.sentence, style=f"bold {COLOURS[result.verdict]}"),
        ]
    return Group(*parts)


def _missing(result: InterchangeResult) -> list[RenderableType]:
    """Why a control could not be had."""
    missing = [(f.name, name, c) for f in result.findings for name, c in f.controls.items() if isinstance(c, str)]
    return [Text(f"{test}, {name}: {reason}") for test, name, reason in missing]


def _vocabulary(result: InterchangeResult) -> list[RenderableType]:
    """The accuracy over all outputs, where the task's choices make a difference."""
    return [
        Text(f"{f.name} with all outputs competing: IIA {f.vocabulary}")
        for f in result.findings
        if f.vocabulary is not None and f.iia is not None and f.vocabulary.value != f.iia.value
    ]


def _control_names(result: InterchangeResult) -> list[str]:
    return list(dict.fromkeys(name for f in result.findings for name in f.controls))


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
