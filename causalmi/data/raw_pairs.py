"""How do the user's own tensors become pairs?"""

from collections.abc import Mapping
from typing import Any

import torch

from causalmi.data.bound import Bound, Labels
from causalmi.data.inputs import Inputs
from causalmi.errors import DataError


def raw_pairs(base: Any, source: Any, labels: Mapping[str, Any], mask: Any) -> Bound:
    """Bases and sources of one shape, with ``labels``: answer, foil and expected, each None, an int or int [n]."""
    bases, sources = Inputs.of(base, mask), Inputs.of(source, mask)
    if bases.values.shape != sources.values.shape:
        raise DataError(
            f"unequal lengths: the bases have shape {list(bases.values.shape)} and the sources "
            f"{list(sources.values.shape)}; give equally many, and each base a source with as many real tokens, "
            "padded where mask= is False; pairs of other lengths come from a Task"
        )
    given = {name: _labels(name, value, len(bases)) for name, value in labels.items()}
    expected = given["expected"]
    return Bound(
        base=bases,
        sources={"source": sources},
        base_labels=given["answer"],
        source_labels={},
        expected={} if expected is None else {("source",): expected},
        foil=given["foil"],
    )


def _labels(name: str, value: Any, n: int) -> Labels | None:
    if value is None:
        return None
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"{name} is {value!r}; give token ids, or draw pairs from a Task for text") from None
    if tensor.is_floating_point() or tensor.dtype == torch.bool or (tensor.numel() and int(tensor.min()) < 0):
        raise DataError(f"{name} is {value!r}; give a token id from 0, or one for each pair")
    if tensor.shape not in ((), (n,)):
        raise DataError(f"unequal lengths: {name} has shape {list(tensor.shape)} for {n} pairs; give an int or [{n}]")
    return tensor.long().expand(n)
