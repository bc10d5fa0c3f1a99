"""How are numbers read and written while a network runs? The one file that registers hooks; they always leave."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from causalmi.engine.selection import Selection
from causalmi.models.tap import Tap
from causalmi.spec.site import Site


@dataclass(frozen=True, kw_only=True)
class Step:
    """One read, or one edit when there is a ``value``, of the numbers at ``site``."""

    site: Site
    tap: Tap
    selection: Selection
    value: Tensor | None = None

    def rows(self, rows: slice) -> "Step":
        """The same step for some of the examples."""
        value = None if self.value is None else self.value[rows]
        return Step(site=self.site, tap=self.tap, selection=self.selection.rows(rows), value=value)


class Trace:
    """What one run read, and how often each step's place was passed."""

    def __init__(self) -> None:
        self.values: dict[Site, Tensor] = {}
        self.fired: dict[int, int] = {}

    def act(self, number: int, step: Step, inputs: Tensor | None, output: Any) -> Any:
        """Do one step at its place; the result replaces what passes there, None leaves it."""
        self.fired[number] = self.fired.get(number, 0) + 1
        passing = step.tap.read(inputs, output)
        if step.value is None:
            self.values[step.site] = step.selection.get(passing)
            return None
        return step.tap.write(inputs, output, step.selection.put(passing, step.value))


@contextmanager
def hooked(steps: Sequence[Step]) -> Iterator[Trace]:
    """Within, ``steps`` are done, in their order, whenever the network runs; after, their hooks are gone."""
    trace, handles = Trace(), list[RemovableHandle]()
    try:
        for number, step in enumerate(steps):
            handles.append(_register(trace, number, step))
        yield trace
    finally:
        for handle in handles:
            handle.remove()


def _register(trace: Trace, number: int, step: Step) -> RemovableHandle:
    if step.tap.end == "output":

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            inputs = _first_input(args, kwargs)[0]
            return trace.act(number, step, inputs, output)

        return step.tap.module.register_forward_hook(after, with_kwargs=True)

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        inputs, put = _first_input(args, kwargs)
        new = trace.act(number, step, inputs, None)
        return None if new is None else put(new)

    return step.tap.module.register_forward_pre_hook(before, with_kwargs=True)


def _first_input(args: Any, kwargs: dict[str, Any]) -> tuple[Tensor | None, Any]:
    """A module's first tensor, however it was passed, and a function that gives the call with it replaced."""
    if args:
        return args[0], lambda new: ((new, *args[1:]), kwargs)
    name = next((name for name, value in kwargs.items() if isinstance(value, Tensor)), None)
    return (None, None) if name is None else (kwargs[name], lambda new: (args, {**kwargs, name: new}))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within, the network is in evaluation mode (no dropout); after, every submodule is as it was."""
    training = [part for part in module.modules() if part.training]
    with ExitStack() as restore:
        for part in training:
            restore.callback(setattr, part, "training", True)
            part.training = False
        yield
