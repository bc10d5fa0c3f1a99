"""What does a claim say is the part of a place that carries a variable? A function of the setting, checked."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causalmi.errors import DataError
from causalmi.methods.scrubbing.graph import Node


def estimate_of(node: Node, setting: Mapping[str, Any], shape: tuple[int, ...]) -> Tensor:
    """A node's estimate in one setting, of its site's shape in one example; raises DataError where it does not fit."""
    assert node.estimate is not None
    try:
        value = torch.as_tensor(node.estimate(setting))
    except Exception as error:
        said = f"the estimate of {node.variable} fails for {dict(setting)}: {type(error).__name__}: {error}"
        raise DataError(f"{said}; check the function that the hypothesis has") from error
    if tuple(value.shape) != shape or not bool(torch.isfinite(value).all()):
        raise DataError(
            f"the estimate of {node.variable} gives shape {tuple(value.shape)} or numbers that are not finite for "
            f"{dict(setting)}; give {shape}, the shape of {node.sites[0]} in one example"
        )
    return value
