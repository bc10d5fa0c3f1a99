"""Which value does a place hold? A readout gives a variable's values from the numbers at its sites.

A given one is the user's; a learned one is a linear classifier (Alain & Bengio 2017, "Understanding intermediate layers
using linear classifier probes").
"""

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.data.clusters import number
from causalmi.errors import DataError, ModelError
from causalmi.spec.site import Site

MOST = 256  # values that are told apart; with more, they are numbers rather than kinds
STEPS = 2000  # of the optimiser at most; what it has by then is judged like any other readout


class LearningError(DataError):
    """A readout that cannot be learned from these examples."""


@dataclass(frozen=True, eq=False)
class Readout:
    """tau_v: the numbers at the sites of ``variable``, float [n, width] on the CPU -> its values, one for each row.

    ``seen`` are the values that a learned readout was shown, and the only ones that it gives; None for a given one.
    """

    variable: str
    function: Callable[[Tensor], Any]
    seen: frozenset[Any] | None = None

    @property
    def how(self) -> Literal["given", "learned"]:
        """Where it comes from."""
        return "given" if self.seen is None else "learned"

    def __call__(self, numbers: Float[Tensor, "n width"]) -> list[Any]:
        """The values; raises DataError when the function fails, or does not give one value for each row."""
        try:
            given = self.function(numbers)
        except Exception as error:
            raise DataError(f"the readout of {self.variable} fails: {type(error).__name__}: {error}") from error
        shape = getattr(given, "shape", None)
        values = given.tolist() if hasattr(given, "tolist") else list(given) if isinstance(given, Iterable) else None
        if values is None or (shape is not None and len(shape) != 1) or len(values) != len(numbers):
            what = type(given).__name__ if shape is None else f"{type(given).__name__} of shape {tuple(shape)}"
            raise DataError(
                f"the readout of {self.variable} gives a {what} for {len(numbers)} rows; give one value each"
            )
        if bad := [v for v in values if not isinstance(v, Hashable) or v != v]:
            raise DataError(f"the readout of {self.variable} gives {bad[0]!r}, which is no value of a variable")
        return values


def learn(variable: str, numbers: Float[Tensor, "n width"], values: Sequence[Any]) -> Readout:
    """The linear classifier of standardised ``numbers`` that logistic regression gives for ``values``, one each.

    Raises LearningError, a DataError, without any examples, or for more than 256 different values.
    """
    if not len(values):
        raise LearningError(f"no examples are left from which a readout of {variable} could learn; use more pairs")
    labels, kinds = number(values), list(dict.fromkeys(values))
    if len(kinds) > MOST:
        said = f"{variable} has {len(kinds)} values in {len(values)} examples"
        raise LearningError(
            f"{said}, and a learned readout tells {MOST} apart at most; give readouts={{{variable!r}: ...}}"
        )
    if len(kinds) == 1:
        return Readout(variable, lambda x: kinds * len(x), frozenset(kinds))
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of values as many as examples, of steps that ran out
        classifier.fit(numbers.double().numpy(), labels)
    return Readout(variable, lambda x: [kinds[i] for i in classifier.predict(x.double().numpy())], frozenset(kinds))


def flat(sites: Iterable[Site], values: Mapping[Site, Tensor]) -> Float[Tensor, "n width"]:
    """The numbers at ``sites`` side by side, on the CPU; raises ModelError for those that are not finite."""
    numbers = torch.cat([values[site].detach().flatten(1).cpu() for site in sites], dim=1)
    if not bool(numbers.isfinite().all()):
        raise ModelError(f"there are NaN or infinite numbers at {' and '.join(map(str, sites))}; try float32")
    return numbers if numbers.dtype in (torch.float32, torch.float64) else numbers.float()
