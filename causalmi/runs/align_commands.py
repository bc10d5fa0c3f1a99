"""What does `causalmi align` do? Its options, and the order of what happens."""

from pathlib import Path
from typing import Annotated, Any

import typer

from causalmi.runs.circuit_commands import AsJson, BatchSize, Device
from causalmi.runs.claimed import Claimed, assignments, claimed, load
from causalmi.runs.record import interruptible, recorded
from causalmi.runs.terminal import mistakes_told, progress_bar, show


def align_command(  # noqa: PLR0913  (an option of a command is a parameter)
    file: Annotated[str, typer.Argument(help="a Python file, or FILE@name for one of its hypotheses")],
    parameters: Annotated[list[str] | None, typer.Option("-P", help="set a parameter: key=value")] = None,
    method: Annotated[str, typer.Option(help="how to search: das, boundless, dbm, pca, probe, ...")] = "das",
    dims: Annotated[str | None, typer.Option(help="dimensions of each variable; 1,2,4 tries several")] = None,
    site: Annotated[list[str] | None, typer.Option(help="a place to try for all variables, as it prints")] = None,
    steps: Annotated[int | None, typer.Option(help="steps of training at most")] = None,
    seeds: Annotated[int | None, typer.Option(help="from how many starts to train")] = None,
    n: Annotated[int | None, typer.Option(min=8, help="pairs to learn from, choose by and judge on, together")] = None,
    seed: Annotated[int, typer.Option(min=0, help="the seed of everything random")] = 0,
    device: Device = "auto",
    batch_size: BatchSize = None,
    out: Annotated[Path | None, typer.Option(help="a folder for the result and a hypothesis file with it")] = None,
    as_json: AsJson = False,
) -> None:
    """Find where the variables of a hypothesis from FILE live, and judge that on pairs held out.

    The claim's own neurons or directions make no difference: its whole places are searched. Interrupted, the search
    goes on when the same command with the same --out is given again.
    """
    asked = {"method": method, "dims": dims, "steps": steps, "seeds": seeds, "sites": site or [], "n": n, "seed": seed}
    with mistakes_told():
        claim = claimed(file, assignments(parameters))
        show(*_align(claim, asked, {"device": device, "batch_size": batch_size}, out), as_json)


def _align(
    claim: Claimed, given: dict[str, Any], machine: dict[str, Any], out: Path | None
) -> tuple[dict[str, Any], Any]:
    from causalmi.runs.align import AlignFolder, search
    from causalmi.runs.align_options import Asked
    from causalmi.runs.show import found_places

    asked = Asked(**given)
    asked.how()
    asked.where()
    arguments = {"command": "align", **claim.where, **given, **machine}
    folder = None if out is None else AlignFolder(out, arguments)
    with interruptible(folder), recorded(folder), progress_bar(claim.name) as progress:
        model = load(claim.hypothesis, machine["device"])
        arguments["device"] = str(model.device)
        result = search(claim.hypothesis, model, asked, folder, machine["batch_size"], progress)
        if folder is not None:
            folder.write(claim, result)
    return result.to_dict(), found_places(result)
