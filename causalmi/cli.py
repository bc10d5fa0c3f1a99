"""How is causalmi used from a shell? `causalmi list`, `run`, `align`, `discover` and `evaluate`.

Exit status: 0 when the work was done, whatever the verdict; 2 for a mistake of the user's; 1 for a fault; 130 when
interrupted.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from causalmi.errors import CausalmiError, UsageError
from causalmi.runs.align_commands import align_command
from causalmi.runs.circuit_commands import discover_command, evaluate_command
from causalmi.runs.claimed import assignments
from causalmi.runs.terminal import mistakes_told, notes, progress_bar, show

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("align")(align_command)
app.command("discover")(discover_command)
app.command("evaluate")(evaluate_command)


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
        show(*_run(file, assignments(parameters), options, out), as_json)


def main() -> None:
    """The entry point of the `causalmi` command."""
    try:
        app()
    except KeyboardInterrupt:
        notes.print("interrupted; nothing was left half written")
        sys.exit(130)


def _run(file: str, given: dict[str, str], options: Options, out: Path | None) -> tuple[dict[str, Any], Any]:
    from causalmi.runs.battery import chosen, run_tests
    from causalmi.runs.claimed import claimed, load
    from causalmi.runs.record import RunFolder, recorded
    from causalmi.runs.show import table

    claim = claimed(file, given)
    run = chosen(options.tests)
    arguments = {**claim.where, **vars(options), "n": options.n or claim.hypothesis.n}
    folder = None if out is None else RunFolder(out, arguments)
    with recorded(folder), progress_bar(claim.name) as progress:
        model = load(claim.hypothesis, options.device)
        arguments["device"] = str(model.device)
        result = run_tests(run, claim.hypothesis, model, options, progress)
    if folder is not None:
        folder.finish(result.to_dict(), result.frames)
    return result.to_dict(), table(result)


if __name__ == "__main__":
    main()
