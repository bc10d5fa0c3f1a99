"""What do `causalmi discover` and `causalmi evaluate` do? Their options, and the order of what happens."""

from pathlib import Path
from typing import Annotated, Any

import typer

from causalmi.errors import UsageError
from causalmi.runs.claimed import Claimed, assignments, claimed, load, reclaimed
from causalmi.runs.record import RunFolder, interruptible, read_record, recorded
from causalmi.runs.terminal import mistakes_told, progress_bar, show

Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="examples a forward pass; never changes results")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object instead of the table")]


def discover_command(  # noqa: PLR0913  (an option of a command is a parameter)
    file: Annotated[str, typer.Argument(help="a Python file, or FILE@name for one of its hypotheses")],
    parameters: Annotated[list[str] | None, typer.Option("-P", help="set a parameter: key=value")] = None,
    method: Annotated[str, typer.Option(help="how to search: acdc, eap-ig, exact, ...")] = "eap-ig",
    threshold: Annotated[float | None, typer.Option(help="acdc: the loss that an edge must be worth")] = None,
    steps: Annotated[int | None, typer.Option(help="eap-ig: points of the integral; masks: steps of training")] = None,
    edges: Annotated[int | None, typer.Option(min=1, help="take this many of the best-scored edges")] = None,
    faithfulness: Annotated[float | None, typer.Option(help="take the fewest that reach this; .9 by default")] = None,
    metric: Annotated[str | None, typer.Option(help="kl by default, logit_diff where kl has no derivative")] = None,
    ablation: Annotated[str, typer.Option(help="paired, zero, mean, mean-positional or node")] = "paired",
    n: Annotated[int, typer.Option(min=8, help="pairs to draw, for search and judgement together")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="the seed of everything random")] = 0,
    device: Device = "auto",
    batch_size: BatchSize = None,
    out: Annotated[Path | None, typer.Option(help="a folder for the result, the circuit and its drawing")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the circuit that does the task of a hypothesis from FILE, and judge it on pairs held out.

    Interrupted, an acdc search goes on when the same command with the same --out is given again.
    """
    chosen = {"method": method, "threshold": threshold, "steps": steps, "edges": edges, "faithfulness": faithfulness}
    asked = {**chosen, "metric": metric, "ablation": ablation, "n": n, "seed": seed}
    with mistakes_told():
        claim = claimed(file, assignments(parameters))
        show(*_discover(claim, asked, {"device": device, "batch_size": batch_size}, out), as_json)


def evaluate_command(  # noqa: PLR0913  (an option of a command is a parameter)
    run: Annotated[Path, typer.Argument(help="the folder of a run of `causalmi discover`")],
    tests: Annotated[str, typer.Option(help="tests to run, with commas between; all by default")] = "all",
    controls: Annotated[str, typer.Option(help="kinds of random circuits: walk, uniform, layer")] = "walk,uniform",
    n_random: Annotated[int, typer.Option(min=1, help="random circuits of each kind")] = 100,
    device: Device = "auto",
    batch_size: BatchSize = None,
    out: Annotated[Path | None, typer.Option(help="a new folder for the result and the tables")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the circuit in the folder RUN by every test, on the pairs that its search did not see."""
    with mistakes_told():
        asked = {"tests": tests, "controls": controls, "n_random": n_random}
        show(*_evaluate(run, asked, {"device": device, "batch_size": batch_size}, out), as_json)


def _discover(
    claim: Claimed, given: dict[str, Any], machine: dict[str, Any], out: Path | None
) -> tuple[dict[str, Any], Any]:
    from causalmi.runs.circuit_options import Asked, How
    from causalmi.runs.circuit_show import discovered
    from causalmi.runs.discover import discover

    asked = Asked(**given)
    How.of(asked)
    arguments = {"command": "discover", **claim.where, **given, **machine}
    folder = None if out is None else RunFolder(out, arguments)
    with interruptible(folder), recorded(folder), progress_bar(claim.name) as progress:
        model = load(claim.hypothesis, machine["device"])
        arguments["device"] = str(model.device)
        result = discover(claim.hypothesis, model, asked, folder, machine["batch_size"], progress)
        if folder is not None:
            result.write(folder)
    return result.to_dict(), discovered(claim.name, result)


def _evaluate(
    run: Path, given: dict[str, Any], machine: dict[str, Any], out: Path | None
) -> tuple[dict[str, Any], Any]:
    from causalmi.runs.circuit_options import Asked
    from causalmi.runs.circuit_show import evaluated
    from causalmi.runs.discover import Judging, evaluate

    record = _search_in(run)
    claim, asked = reclaimed(record), Asked(**{name: record[name] for name in vars(Asked())})
    by = Judging.of(given)
    arguments = {"command": "evaluate", "run": str(run), **given, **machine}
    folder = None if out is None else RunFolder(out, arguments)
    with recorded(folder), progress_bar(claim.name):
        model = load(claim.hypothesis, machine["device"])
        arguments["device"] = str(model.device)
        result = evaluate(claim.hypothesis, model, asked, run, by, machine["batch_size"])
        if folder is not None:
            frames = {name: frame for name, frame in result.frames.items() if name != result.test}
            folder.finish(result.to_dict(), {"evaluation": result.frame, **frames})
    return result.to_dict(), evaluated(claim.name, result)


def _search_in(run: Path) -> dict[str, Any]:
    """The record of a search that is done; raises UsageError."""
    record = read_record(run)
    if record.get("command") != "discover":
        raise UsageError(f"{run} holds no run of `causalmi discover`; give the --out folder of one")
    if not (run / "result.json").exists():
        raise UsageError(f"the search in {run} is not done; repeat its command to go on with it")
    return record
