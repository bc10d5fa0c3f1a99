"""Is what is read at each node what the causal model makes of what is read at its ancestors?

tau_v(L_v(z)) = H_v(x; do(p := tau_p(L_p(z)), p in P)) for the states z of a network L, where P are the nearest mapped
ancestors of v (Jenner et al. 2023, "A comparison of causal scrubbing, causal abstractions, and related methods").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from causalmi.data.pairs import CounterfactualPairs
from causalmi.errors import DataError
from causalmi.methods.agreement import Answers, answers, check_labels
from causalmi.methods.reader import Reader, nodes, settings
from causalmi.methods.readout import LearningError, flat
from causalmi.methods.swap import Swap
from causalmi.spec.causal_model import CausalModel
from causalmi.spec.columns import column

Bools = NDArray[np.bool_]
Kind = Literal["observational", "natural", "interchange"]
Key = tuple[str, Kind]  # a node, and the states in which it is read


@dataclass(frozen=True, eq=False)
class Comparison:
    """For n examples what was read at a node and what should be, whether these agree, and which rows can be judged.

    ``still``: what should be is what it is without any intervention. ``unseen``: a readout that takes part, the node's
    own or that of an ancestor, never saw the value that it should give.
    """

    read: list[Any]
    claimed: list[Any]
    hits: Bools
    judged: Bools
    still: Bools
    unseen: Bools


def comparisons(
    reader: Reader, pairs: CounterfactualPairs, kinds: tuple[Kind, ...]
) -> Iterator[tuple[Key, Comparison]]:
    """Each node under each kind of states; one without mapped ancestors has natural ones alone."""
    states = _States(reader, pairs)
    for node in nodes(reader.hypothesis):
        alone = kinds != ("observational",) and not states.ancestors(node)
        for kind in ("natural",) if alone else kinds:
            yield (node, kind), states.compare(node, kind)


def nearest(model: CausalModel, node: str, mapped: tuple[str, ...]) -> tuple[str, ...]:
    """The mapped ancestors of ``node`` from which a path leads to it that passes no other one."""
    found, todo = dict[str, None](), list(model.parents[node])
    while todo:
        parent = todo.pop()
        if parent in mapped:
            found[parent] = None
        else:
            todo += model.parents[parent]
    return tuple(v for v in mapped if v in found)


@dataclass(frozen=True)
class _States:
    """The states of a network on the bases of some pairs, each run once."""

    reader: Reader
    pairs: CounterfactualPairs

    def ancestors(self, node: str) -> tuple[str, ...]:
        h = self.reader.hypothesis
        return nearest(h.task.model, node, tuple(nodes(h)[:-1]))

    @cached_property
    def swap(self) -> Swap:
        h, sets = self.reader.hypothesis, {self.ancestors(node) for node in nodes(self.reader.hypothesis)} - {()}
        alignment = {v: h.sites(v) for v in nodes(h)[:-1]}
        return Swap(self.reader.model, self.pairs, alignment, self.reader.batch_size, recorded=len(sets) > 1)

    @cached_property
    def _runs(self) -> dict[tuple[str, ...], Answers]:
        return {}

    def run(self, subset: tuple[str, ...]) -> Answers:
        """The network on the bases with these variables set from their sources, read where that is asked for."""
        if subset not in self._runs:
            h, reader = self.reader.hypothesis, self.reader
            asked = [v for v in nodes(h)[:-1] if not subset or self.ancestors(v) == subset]
            read = dict.fromkeys(site for v in asked for site in h.sites(v))
            if subset:
                run = self.swap.interchange(subset, read=read)
                put = {s: x for v in subset for s, x in self.swap.source(v).values.items()}  # what is there now
                self._runs[subset] = replace(run, values={**run.values, **put})
            else:
                self._runs[subset] = answers(
                    reader.model, self.pairs.base, self.pairs, read=read, batch_size=reader.batch_size
                )
        return self._runs[subset]

    def read(self, node: str, run: Answers) -> list[Any]:
        """The values that the readout of ``node`` gives; of the output the answers."""
        h = self.reader.hypothesis
        if node == h.task.model.output:
            return run.among_choices.tolist()
        return self.reader.readouts[node](flat(h.sites(node), run.values))

    def compare(self, node: str, kind: Kind) -> Comparison:
        """What is read at ``node`` in these states, and what should be."""
        ancestors = () if kind == "observational" else self.ancestors(node)
        run = self.run(ancestors if kind == "interchange" else ())
        read, (claimed, known) = self.read(node, run), self.claimed(node, {p: self.read(p, run) for p in ancestors})
        if node == self.reader.hypothesis.task.model.output:
            check_labels(claimed, run.outputs)
        before = self.claimed(node, {})[0]
        return Comparison(
            read=read,
            claimed=claimed,
            hits=_equal(read, claimed) & known,
            judged=self._judged(node, ancestors, kind),
            still=_equal(before, claimed),
            unseen=self._unseen(node, claimed, ancestors, kind),
        )

    def _unseen(self, node: str, claimed: list[Any], ancestors: tuple[str, ...], kind: Kind) -> Bools:
        """Rows in which a readout of ``node`` or of an ancestor would have to give a value that it never saw."""
        drawn, found = settings(self.pairs)[1], np.zeros(len(claimed), dtype=np.bool_)
        tables = {p: drawn.sources[p] if kind == "interchange" else drawn.base for p in ancestors}
        wanted = {node: claimed} | {p: table[p].tolist() for p, table in tables.items()}
        for name, values in wanted.items():
            readout = None if name == self.reader.hypothesis.task.model.output else self.reader.readouts.get(name)
            if readout is not None and readout.seen is not None:
                found |= np.array([value not in readout.seen for value in values])
        return found

    def claimed(self, node: str, values: Mapping[str, list[Any]]) -> tuple[list[Any], Bools]:
        """What the causal model says of ``node`` once ``values`` are set, and where it can: the rest has no meaning."""
        task, drawn = settings(self.pairs)
        known, columns = np.ones(len(drawn.base), dtype=np.bool_), {}
        for name, given in values.items():
            fits = _admitted(task.model, name, given)
            own = drawn.base[name].tolist()
            columns[name] = column([x if ok else y for x, y, ok in zip(given, own, fits, strict=True)])
            known &= fits
        table = task.model.intervene_columns(drawn.base[list(task.model.inputs)], columns)
        if node == task.model.output:
            return task.labels(table, self.pairs.base, self.reader.model.tokenizer).tolist(), known
        return table[node].tolist(), known

    def _judged(self, node: str, ancestors: tuple[str, ...], kind: Kind) -> Bools:
        """Rows whose examples did not train a readout that takes part."""
        readouts = self.reader.readouts
        if not any(v in readouts and readouts[v].seen is not None for v in (node, *ancestors)):
            return np.ones(len(self.pairs), dtype=np.bool_)
        sources = [self.pairs.sources[p] for p in ancestors] if kind == "interchange" else []
        fresh = self.reader.fresh([self.pairs.base, *sources])
        if not fresh.any():
            said = f"none of the {len(fresh)} examples is left to judge the readout of {node}"
            raise LearningError(
                f"{said}, as all have to do with those it learned from; use more pairs, or give readouts="
            )
        return fresh


def _admitted(model: CausalModel, name: str, values: list[Any]) -> Bools:
    """Which values the variable may take."""

    def fits(value: Any) -> bool:
        try:
            model.admits[name].admit(value)
        except DataError:
            return False
        return True

    known = {value: fits(value) for value in set(values)}
    return np.array([known[value] for value in values])


def _equal(a: list[Any], b: list[Any]) -> Bools:
    return np.array([bool(x == y) for x, y in zip(a, b, strict=True)])
