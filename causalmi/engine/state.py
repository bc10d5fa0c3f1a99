"""What of a network must be after a run as it was before, or as it was when it was recorded?"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn


def version(x: Tensor) -> int:
    """How often ``x`` was written to, which torch does not count in its inference mode."""
    return 0 if x.is_inference() else x._version


def registered(module: nn.Module) -> tuple[int, ...]:
    """What tells the hooks on ``module`` and its submodules from those at any other time."""
    return tuple(number for part in module.modules() for number in (*part._forward_pre_hooks, *part._forward_hooks))


def state(module: nn.Module) -> tuple[object, ...]:
    """What changes when hooks, weights, their type or their device do."""
    weights = ((id(p), version(p), p.dtype, p.device) for p in module.parameters())
    return (registered(module), *weights)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within, the network is in evaluation mode (no dropout); after, every submodule is as it was."""
    training = [part for part in module.modules() if part.training]
    with ExitStack() as restore:
        for part in training:
            restore.callback(setattr, part, "training", True)
            part.training = False
        yield
