"""Where do the variables of a hypothesis live? The search, its judgement, and a hypothesis file with what was found."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from causalmi.engine.featurizers.saved import load_alignment
from causalmi.engine.model import Model
from causalmi.errors import UsageError
from causalmi.methods.align.align import align
from causalmi.methods.align.method import Progress
from causalmi.results.alignment import AlignmentResult
from causalmi.runs.align_options import Asked
from causalmi.runs.claimed import Claimed
from causalmi.runs.hypothesis_file import read_file
from causalmi.runs.record import RunFolder
from causalmi.spec.files import write, write_bytes
from causalmi.spec.hypothesis import Hypothesis

ORIGINAL = "original.py"
FILE = '''"""What `causalmi align` found, as a hypothesis of its own; `causalmi run` of this file tests it.

It is the claim {name} of {file} with the places that were found on {n} pairs
of seed {seed}; `causalmi run` draws other pairs, with any seed.
"""

from pathlib import Path

import causalmi as cm
from causalmi.runs.align import aligned


@cm.hypothesis
def {aligned}() -> cm.Hypothesis:
    """The variables of {name} at the places that were found."""
    return aligned(
        Path(__file__).parent,
        files={files!r},
        sha256={sha256!r},
        name={name!r},
        parameters={parameters!r},
        claim={claim!r},
    )
'''


class AlignFolder(RunFolder):
    """The folder of a search for an alignment."""

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    def write(self, claim: Claimed, result: AlignmentResult) -> None:
        """The alignment, a hypothesis file with it, the tables, and last the result."""
        result.save(self.path)
        write_bytes(self.path / ORIGINAL, Path(claim.where["file"]).read_bytes())
        write(self.path / "hypothesis.py", _file(self.path, claim, result))
        self.finish(result.to_dict(), {"fits": result.frame, **result.test.frames})


def search(
    hypothesis: Hypothesis,
    model: Model,
    asked: Asked,
    folder: AlignFolder | None,
    batch_size: int | None,
    progress: Progress,
) -> AlignmentResult:
    """The alignment that is asked for, gone on with from ``folder``; raises what :func:`causalmi.align` does."""
    return align(
        hypothesis,
        model,
        method=asked.how(),
        sites=asked.where(),
        n=asked.n,
        seed=asked.seed,
        batch_size=batch_size,
        progress=progress,
        checkpoint=None if folder is None else folder.checkpoint,
    )


def aligned(
    folder: Path, *, files: list[str], sha256: str, name: str, parameters: Mapping[str, Any], claim: str
) -> Hypothesis:
    """The hypothesis ``name`` of a file with the alignment in ``folder`` instead of its own.

    The first of ``files``, seen from ``folder``, that has this hash is read. Raises UsageError when none has.
    """
    for path in (folder / file for file in files):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            told = read_file(path).get(name)(**parameters)
            return replace(told, alignment=load_alignment(folder), claim=claim)
    raise UsageError(
        f"none of {', '.join(files)} in {folder} is the file that {name} was aligned from; it has changed or is missing"
    )


def _file(folder: Path, claim: Claimed, result: AlignmentResult) -> str:
    """The text of the hypothesis file; the claim's own file is named as it lies from there, before its copy."""
    given, where = Path(claim.where["file"]), claim.where
    return FILE.format(
        **{key: where[key] for key in ("sha256", "parameters")},
        files=[Path(os.path.relpath(given.resolve(), folder.resolve())).as_posix(), ORIGINAL],
        file=given.name,
        name=claim.name,
        aligned=result.hypothesis.name,
        claim=result.hypothesis.claim,
        n=f"{result.train.n + result.validation.n + len(result.test.frame):,}",
        seed=result.test.seed,
    )
