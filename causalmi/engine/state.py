"""What of a network must be after a run as it was before, or as it was when it was recorded?"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn


def parts(module: nn.Module) -> list[nn.Module]:
    """``module`` and all its submodules, each once; as its ``modules()``, but many times as fast without their names.

    Every run looks at them, and a run of a few positions takes no longer than naming them all.
    """
    found: dict[nn.Module, None] = {module: None}
    todo = [module]
    while todo:
        new = [child for child in todo.pop()._modules.values() if child is not None and child not in found]
        found |= dict.fromkeys(new)
        todo += new
    return list(found)


def version(x: Tensor) -> int:
    """How often ``x`` was written to, which torch does not count in its inference mode."""
    return 0 if x.is_inference() else x._version


def registered(module: nn.Module) -> tuple[int, ...]:
    """What tells the hooks on ``module`` and its submodules from those at any other time."""
    return tuple(number for part in parts(module) for number in (*part._forward_pre_hooks, *part._forward_hooks))


def state(module: nn.Module) -> tuple[object, ...]:
    """What changes when hooks, weights, their type or their device do."""
    every = [p for part in parts(module) for p in part._parameters.values() if p is not None]
    return (registered(module), *((id(p), version(p), p.dtype, p.device) for p in every))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within, the network is in evaluation mode (no dropout); after, every submodule is as it was."""
    training = [part for part in parts(module) if part.training]
    with ExitStack() as restore:
        for part in training:
            restore.callback(setattr, part, "training", True)
            part.training = False
        yield
