"""What is a network tested on? Pairs of a base and its sources, with the answers that the causal model expects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.bound import Bound, Labels, bind
from causalmi.data.clusters import divide, number, plain
from causalmi.data.drawn import Drawn, Subset, subsets
from causalmi.data.inputs import Inputs, Spans
from causalmi.data.pairs_frame import pairs_frame
from causalmi.data.raw_pairs import raw_pairs
from causalmi.errors import DataError

if TYPE_CHECKING:
    from causalmi.data.task import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class CounterfactualPairs:
    """Bases, sources, and expected counterfactual answers; made by ``task.pairs`` or :meth:`from_tokens`.

    Pairs of a task with a prompt have no tensors before :meth:`bind`; asking for one raises DataError.
    """

    drawn: Drawn | None = field(default=None, repr=False)
    tensors: Bound | None = field(default=None, repr=False)
    task: "Task | None" = None
    seed: int | None = None
    vary: tuple[str, ...] = ("source",)

    @classmethod
    def from_tokens(
        cls, base: Any, source: Any, *, answer: Any = None, foil: Any = None, expected: Any = None, mask: Any = None
    ) -> "CounterfactualPairs":
        """Pairs from token ids [n, pos] of bases and sources, with one ``mask`` of real tokens for both.

        ``answer``: the right token on the base, ``foil``: a wrong one to compare with, ``expected``: the right token
        after an interchange; ints, or int [n]. Raises DataError for unequal lengths.

        >>> CounterfactualPairs.from_tokens([[1, 2, 3]], [[1, 4, 3]], answer=7, foil=8).base_labels
        tensor([7])
        """
        return cls(tensors=raw_pairs(base, source, {"answer": answer, "foil": foil, "expected": expected}, mask))

    def bind(self, tokenizer: Any) -> "CounterfactualPairs":
        """The pairs as a network with this tokenizer sees them; raises DataError for answers that are not one token."""
        if self.tensors is not None or self.task is None or self.drawn is None:
            return self
        return replace(self, tensors=bind(self.task, self.drawn, tokenizer))

    def claimed_by(self, task: "Task") -> "CounterfactualPairs":
        """The same inputs with the answers that ``task`` expects, for a rival claim; raw pairs stay as they are.

        Raises DataError when the two causal models have other inputs.
        """
        if self.drawn is None or task is self.task:
            return self
        names = list(task.model.inputs)
        if set(names) != set(self.task.model.inputs if self.task else names):
            raise DataError(f"the pairs give other inputs than {', '.join(names)}, which the hypothesis's task has")
        base, sources = self.drawn.base[names], {v: s[names] for v, s in self.drawn.sources.items()}
        return replace(self, drawn=Drawn.of(task.model, base, sources), tensors=None, task=task)

    def __len__(self) -> int:
        if self.tensors is not None:
            return len(self.tensors.base)
        return 0 if self.drawn is None else len(self.drawn.base)

    def __repr__(self) -> str:
        origin = "from tokens" if self.task is None else f"of {self.task.name!r}, seed {self.seed}"
        state = "" if self.bound else ", not bound to a tokenizer"
        return f"CounterfactualPairs({len(self)} pairs {origin}, vary {', '.join(self.vary)}{state})"

    @property
    def bound(self) -> bool:
        """Whether the pairs have tensors."""
        return self.tensors is not None

    @property
    def base(self) -> Inputs:
        """The bases."""
        return self._bound.base

    @property
    def sources(self) -> Mapping[str, Inputs]:
        """For each varied variable its sources, row by row with the bases."""
        return self._bound.sources

    @property
    def source(self) -> Inputs:
        """The sources of the only variable; raises DataError when there are several."""
        if len(self.sources) > 1:
            raise DataError(f"these pairs have sources for {', '.join(self.sources)}; use .sources[variable]")
        return next(iter(self.sources.values()))

    @property
    def subsets(self) -> tuple[Subset, ...]:
        """What is interchanged: each varied variable alone, then all of them jointly."""
        return subsets(self.vary) if self.task is None else self.task.model.together(self.vary)

    @property
    def base_labels(self) -> Labels:
        """The right answers to the bases, int64 [n]: tokens, or classes."""
        if self._bound.base_labels is None:
            raise DataError("these pairs have no answers; give answer= to from_tokens")
        return self._bound.base_labels

    @property
    def source_labels(self) -> Mapping[str, Labels]:
        """The right answers to each variable's sources, int64 [n]; empty when not known."""
        return self._bound.source_labels

    @property
    def expected(self) -> Mapping[Subset, Labels]:
        """By interchanged variables, the right counterfactual answers, int64 [n]; empty when not known."""
        return self._bound.expected

    @property
    def changed(self) -> Mapping[Subset, Bool[Tensor, " n"]]:
        """By interchanged variables, whether the right counterfactual answer differs from the one to the base."""
        return {subset: labels != self.base_labels for subset, labels in self.expected.items()}

    @property
    def choices(self) -> Int[Tensor, "n c"] | None:
        """The candidate answers of base and sources, int64 [n, c]; None for all outputs."""
        return self._bound.choices

    @property
    def foil(self) -> Labels | None:
        """The wrong answers to compare with, int64 [n], if given."""
        return self._bound.foil

    @property
    def positions(self) -> Spans:
        """By name, the indices of its tokens in each base."""
        return self.base.spans

    @property
    def lengths(self) -> Int[Tensor, " n"]:
        """The number of tokens of each base."""
        return self.base.lengths

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each pair: texts or tokens, the causal model's inputs and, when bound, labels and positions."""
        return pairs_frame(self)

    def rows(self, index: Any) -> "CounterfactualPairs":
        """The pairs that ``index`` (a slice, indices or bools) selects."""
        picked = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        drawn = None if self.drawn is None else self.drawn.rows(picked.numpy())
        return replace(self, drawn=drawn, tensors=None if self.tensors is None else self.tensors.rows(picked))

    def keep(self, mask: Any) -> "CounterfactualPairs":
        """The pairs where ``mask``, bool [n], holds; raises DataError when there are none."""
        wanted = torch.as_tensor(mask).cpu()
        if wanted.dtype != torch.bool or wanted.shape != (len(self),):
            raise DataError(f"the mask is {wanted.dtype} {list(wanted.shape)}; give one bool a pair, [{len(self)}]")
        if not bool(wanted.any()):
            raise DataError(f"none of the {len(self)} pairs is left; draw more, or keep others")
        return self.rows(wanted)

    def clusters(self) -> NDArray[np.int64]:
        """For each pair the number of its base, int64 [n]: equal exactly where the network is given the same.

        Before binding, bases are told apart by their texts, regardless of case, accents and spaces.
        """
        if self.tensors is None and self.task is not None and self.drawn is not None:
            return number(plain(text) for text in self.task.texts(self.drawn.base))
        return number(self.base.key())

    def split(self, fraction: float, *, seed: int) -> tuple["CounterfactualPairs", "CounterfactualPairs"]:
        """Two parts, the first with about ``fraction`` of the pairs, that have no base in common.

        Raises DataError for a fraction outside (0, 1), or pairs that all have the same base.
        """
        first, second = divide(self.clusters(), fraction, seed=seed)
        return self.rows(first), self.rows(second)

    @property
    def _bound(self) -> Bound:
        if self.tensors is None:
            raise DataError(
                "these pairs are not bound to a tokenizer yet; call .bind(model.tokenizer), "
                "or pass them to a method together with a model"
            )
        return self.tensors
