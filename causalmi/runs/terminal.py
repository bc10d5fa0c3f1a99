"""How does a command speak to the person at the terminal? Progress, mistakes, and results apart from both."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from causalmi.errors import CausalmiError

notes = Console(stderr=True)  # progress and messages; results alone go to stdout
INTERRUPTED = 130


@contextmanager
def mistakes_told() -> Iterator[None]:
    """A user's mistake ends with its message and status 2, without a traceback."""
    try:
        yield
    except CausalmiError as mistake:
        notes.print(f"error: {mistake}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def show(result: dict[str, Any], table: RenderableType, as_json: bool) -> None:
    """Print a result: one JSON object, or a table."""
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        Console().print(table)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, and the function (stage, done, total) that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task(label, total=None)

        def update(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{label}: {stage}", completed=done, total=total)

        yield update
