"""How is causalmi used from a shell? `causalmi list` and `causalmi run`.

Exit status: 0 when the work was done, whatever the verdict; 2 for a mistake of the user's; 1 for a fault.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from causalmi.errors import CausalmiError, UsageError
from causalmi.spec.factory import HypothesisFactory
from causalmi.spec.hypothesis import Hypothesis

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
notes = Console(stderr=True)  # progress and messages; results alone go to stdout


@dataclass(frozen=True)
class Options:
    """What `causalmi run` was asked for, beside the file and its parameters."""

    tests: tuple[str, ...]
    n: int | None
    seed: int
    device: str
    batch_size: int | None


@app.command("list")
def list_command(path: Annotated[Path, typer.Argument(help="a file or a folder")] = Path("hypotheses")) -> None:
    """Show the hypotheses and tasks found in PATH."""
    with mistakes_told():
        from causalmi.runs.hypothesis_file import read_file
        from causalmi.runs.show import listing

        if not path.exists():
            raise UsageError(f"there is no file or folder {str(path)!r}; give the one that holds your hypotheses")
        found, broken = [], []
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            try:
                found.append(read_file(file))
            except CausalmiError as mistake:
                broken.append(str(mistake))
        Console().print(listing(found))
        if broken:
            raise UsageError("\n".join(broken))


@app.command("run")
def run_command(
    file: Annotated[str, typer.Argument(help="a Python file, or FILE@name for one of its hypotheses")],
    parameters: Annotated[list[str] | None, typer.Option("-P", help="set a parameter: key=value")] = None,
    tests: Annotated[str, typer.Option(help="tests to run, with commas between")] = "interchange",
    n: Annotated[int | None, typer.Option(min=1, help="pairs to draw; the hypothesis says how many by default")] = None,
    seed: Annotated[int, typer.Option(min=0, help="the seed of everything random")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="examples a forward pass; never changes results")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="a new folder for result.json, record.json and the pairs")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of the table")] = False,
) -> None:
    """Test a hypothesis from FILE and print what was found."""
    options = Options(tuple(t for t in tests.split(",") if t), n, seed, device, batch_size)
    with mistakes_told():
        result, table = _run(file, _assignments(parameters or []), options, out)
        if as_json:
            sys.stdout.write(json.dumps(result) + "\n")
        else:
            Console().print(table)


def main() -> None:
    """The entry point of the `causalmi` command."""
    try:
        app()
    except KeyboardInterrupt:
        notes.print("interrupted; nothing was left half written")
        sys.exit(130)


@contextmanager
def mistakes_told() -> Iterator[None]:
    """A user's mistake ends with its message and status 2, without a traceback."""
    try:
        yield
    except CausalmiError as mistake:
        notes.print(f"error: {mistake}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def _run(file: str, given: dict[str, str], options: Options, out: Path | None) -> tuple[dict[str, Any], Any]:
    from causalmi.runs.battery import chosen, run_tests
    from causalmi.runs.hypothesis_file import read_file
    from causalmi.runs.record import RunFolder
    from causalmi.runs.show import table

    path, _, name = file.partition("@")
    source = read_file(Path(path))
    factory = source.get(name or None)
    hypothesis, settings = factory.with_text(given)
    run = chosen(options.tests)
    if not name:
        _mention_others(source.hypotheses, factory, path)
    arguments: dict[str, Any] = {
        "file": path,
        "sha256": source.sha256,
        "hypothesis": factory.name,
        "parameters": settings,
    }
    arguments |= {**vars(options), "n": options.n or hypothesis.n}
    folder = None if out is None else RunFolder(out, arguments)
    try:
        with _progress(factory.name) as progress:
            model = _load(hypothesis, options.device)
            arguments["device"] = str(model.device)
            result = run_tests(run, hypothesis, model, options, progress)
    except BaseException as error:
        if folder is not None:
            folder.fail(error)
        raise
    if folder is not None:
        folder.finish(result.to_dict(), result.frames)
    return result.to_dict(), table(result)


def _load(hypothesis: Hypothesis, device: str) -> Any:
    from transformers.utils import logging

    from causalmi.engine.load import load_model

    if hypothesis.model is None:
        raise UsageError(f"{hypothesis.name} names no model; set model= in the hypothesis")
    logging.disable_progress_bar()  # of loading weights; the command has its own
    return load_model(hypothesis.model, device=device)


def _assignments(texts: list[str]) -> dict[str, str]:
    if bad := [text for text in texts if "=" not in text or text.startswith("=")]:
        raise UsageError(f"-P {bad[0]} is no assignment; write -P key=value")
    return dict(text.split("=", 1) for text in texts)


def _mention_others(all_of_file: dict[str, Any], factory: HypothesisFactory, path: str) -> None:
    others = [name for name in all_of_file if name != factory.name]
    if others:
        notes.print(f"running {factory.name}; {path} also holds {', '.join(f'@{o}' for o in others)}", markup=False)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[str, int, int], None]]:
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


if __name__ == "__main__":
    main()
