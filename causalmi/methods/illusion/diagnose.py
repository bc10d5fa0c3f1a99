"""Does a subspace work because it carries the variable, or because it wakes up what the network does not use?

An interchange along v = v_null + v_row takes its size from both parts, and only v_row acts. Where the values differ
along v_null, which nothing reads, and v_row is constant in natural data, the interchange drives v_row by what it reads
off v_null: it succeeds through a path that the network itself never takes. Makelov, Lange & Nanda 2023, "Is this the
subspace you are looking for? An interpretability illusion for subspace activation patching".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.errors import DataError
from causalmi.methods.blocks import Blocks, asked
from causalmi.methods.illusion.movement import Movement, movement
from causalmi.methods.illusion.readers import Declared, Readers, check_widths, declared_by, readers_of
from causalmi.methods.illusion.splitting import Floats, Split
from causalmi.methods.swap import Swap, widened
from causalmi.methods.tally import Tally
from causalmi.results.illusion import NULL, ROW, WHOLE, IllusionFinding, IllusionResult
from causalmi.spec.basis import Basis
from causalmi.spec.hypothesis import Hypothesis
from causalmi.spec.site import Site

MOVES = ("activity", "spread", "separation")


def diagnose_illusion(  # noqa: PLR0913  (the public call: which subspaces, in which network, on which pairs, read how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    data: CounterfactualPairs | None = None,
    n: int | None = None,
    seed: int = 0,
    readers: Readers | None = None,
    batch_size: int | None = None,
) -> IllusionResult:
    """Split the subspace of each variable into what nothing reads and what is read, and see what each does alone.

    With M the maps that read a place, x -> x M: v_null = v - U U^T v for an orthonormal basis U of the columns of M.
    M is known for an MLP's neurons and a head's z. For other places ``readers`` gives it, by variable or by site: a
    matrix [width, k], or several, which must be all that reads the place. ``data`` are pairs, or ``n`` are drawn with
    ``seed``. A subspace is illusory when what is read of it moves by itself by less than a tenth of what interchange
    moves it, in mean squares, and the null part has most of the separation of the variable's values.
    Raises SpecError for readers that do not fit; SiteError, PositionError or DataError for what cannot be run.
    """
    count, seed = asked("diagnose_illusion", hypothesis, n, seed)
    if isinstance(count, str):
        raise DataError(f"n is {count!r}; the diagnosis takes a whole number of pairs")
    declared, model = declared_by(hypothesis, readers), load_model(hypothesis.model if model is None else model)
    pairs, _ = next(Blocks(hypothesis, model, data, count, seed).draws())
    wide = {v: tuple(dict.fromkeys(map(widened, hypothesis.sites(v)))) for v in hypothesis.variables}
    swap = Swap(model, pairs, wide, batch_size)
    swap.check()
    check_widths(swap, declared)
    found = [_split(swap, hypothesis, v, declared) for v in hypothesis.variables]
    rows = [row for each in found if isinstance(each, _Diagnosis) for row in each.rows()]
    return IllusionResult(
        hypothesis=hypothesis.name,
        model=model.name,
        seed=seed,
        n=len(pairs),
        findings=tuple(each if isinstance(each, IllusionFinding) else each.finding() for each in found),
        directions=pd.DataFrame(rows, columns=["variable", "place", "null_share", *MOVES]),
    )


@dataclass(frozen=True, eq=False)
class _Diagnosis:
    """The subspaces of one variable, split by what reads them."""

    swap: Swap
    variable: str
    splits: Mapping[Site, Split]

    def finding(self) -> IllusionFinding:
        """What is found of all its subspaces together."""
        every = self.splits.items()
        effects = {
            WHOLE: self._effect({site: site.basis for site in self.splits}),
            NULL: self._effect({site: split.null_alone for site, split in every}),
            ROW: self._effect({site: split.row_alone for site, split in every}),
        }
        moved = sum((self._movement(site, split) for site, split in every), Movement())
        chance = [1 - split.read.shape[1] / len(split.read) for split in self.splits.values() for _ in split.shares]
        return IllusionFinding(
            variable=self.variable,
            places=tuple(map(str, self.splits)),
            null_share=float(np.concatenate([split.shares for split in self.splits.values()]).mean()),
            chance=float(np.mean(chance)),
            iia={part: None if tally is None else tally.estimate() for part, tally in effects.items()},
            changed={part: None if t is None else t.share(t.columns["changed"]) for part, t in effects.items()},
            leak=None if (unread := effects[NULL]) is None else float(unread.columns["moved"].mean()),
            **{name: getattr(moved, name) for name in MOVES},
        )

    def rows(self) -> list[dict[str, Any]]:
        """A row for each direction, those that are read least first."""
        found = []
        for site, split in self.splits.items():
            for i, share in enumerate(split.shares):
                moved = self._movement(site, Split(split.directions[:, [i]], split.read))
                named = {"variable": self.variable, "place": str(site), "null_share": float(share)}
                found.append({**named, **{name: getattr(moved, name) for name in MOVES}})
        return found

    def _effect(self, bases: Mapping[Site, Basis | None]) -> Tally | None:
        """Hits of the interchange along these directions; whether the right answer, and the given one, is another."""
        sites = tuple(replace(site, basis=basis) for site, basis in bases.items() if basis is not None)
        if not sites:
            return None
        subset, swap = (self.variable,), self.swap
        given = swap.within({self.variable: sites}).interchange(subset)
        columns = {
            "changed": (swap.expected(subset) != swap.pairs.base_labels).numpy(),
            "moved": (given.among_choices != swap.base.among_choices).numpy(),
        }
        return Tally(swap.hits(subset, given).numpy(), swap.clusters, columns)

    def _movement(self, site: Site, split: Split) -> Movement:
        base, source = self._natural[site]
        return movement(split, base, source, self._values(len(base)))

    @cached_property
    def _natural(self) -> Mapping[Site, tuple[Floats, Floats]]:
        """What is at the place of each site on the bases and on the sources, [n, width]."""
        places = dict.fromkeys(map(widened, self.splits))
        base = self.swap.model.capture(self.swap.pairs.base, places, batch_size=self.swap.batch_size)
        source = self.swap.source(self.variable).values
        return {site: tuple(_rows(x[widened(site)], site) for x in (base, source)) for site in self.splits}  # type: ignore[misc]

    def _values(self, rows: int) -> list[Any] | None:
        """The variable's value in each row of numbers at its place; None where only tokens are known."""
        drawn = self.swap.pairs.drawn
        if drawn is None:
            return None
        each = rows // len(drawn.base)  # vectors of an example, at several positions
        return [value for value in drawn.base[self.variable].tolist() for _ in range(each)]


def _split(swap: Swap, h: Hypothesis, variable: str, declared: Declared) -> _Diagnosis | IllusionFinding:
    """The splits of a variable's subspaces, or why there are none."""
    splits: dict[Site, Split] = {}
    for site in h.sites(variable):
        readers = readers_of(swap.model, site, declared.get((variable, site)))
        reason = f"{site} is no subspace, so it has no directions to split" if site.basis is None else readers
        if site.basis is None or isinstance(readers, str):
            return IllusionFinding(variable=variable, places=tuple(map(str, h.sites(variable))), reason=str(reason))
        splits[site] = Split.of(site.basis, readers)
    return _Diagnosis(swap, variable, splits)


def _rows(values: Tensor, site: Site) -> Floats:
    """The numbers that a site's directions run over, one row for each vector."""
    chosen = values if site.neurons is None else values[..., list(site.neurons)]
    rows: Floats = chosen.detach().cpu().double().flatten(0, -2).numpy()
    return rows
