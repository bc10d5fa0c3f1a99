"""How are numbers read and written while a network runs? The one file that registers hooks; they always leave."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from causalmi.engine.selection import Selection
from causalmi.engine.state import version
from causalmi.errors import ModelError
from causalmi.models.tap import Tap, first, with_first
from causalmi.spec.site import Site


class Enough(BaseException):
    """Ends a run in which everything wanted has been read; no ``except Exception`` of a network may swallow it."""


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
        return replace(self, selection=self.selection.rows(rows), value=value)

    @property
    def learns(self) -> bool:
        """Whether gradients are wanted of a run with this edit."""
        projection = self.selection.projection
        return self.value is not None and (self.value.requires_grad or (projection is not None and projection.learns))

    @property
    def where(self) -> tuple[object, ...]:
        """What identifies the place whatever it is called: the numbers that a hook there sees."""
        tap = self.tap
        return (id(tap.module), tap.end, type(tap), getattr(tap, "columns", None), getattr(tap, "in_place", None))

    @property
    def layout(self) -> tuple[object, ...]:
        """The place, and the axes in which its numbers are seen there."""
        tap = self.tap
        return (self.where, tap.heads, getattr(tap, "head_first", None), getattr(tap, "lead", None) is None)


class Trace:
    """What one run read, and how often each step's place was passed."""

    def __init__(self, steps: Sequence[Step], *, stop: bool = False) -> None:
        self.values: dict[Site, Tensor] = {}
        self.fired = [0] * len(steps)
        self._stop, self._reads = stop, sum(step.value is None for step in steps)

    def act(self, steps: Sequence[tuple[int, Step]], inputs: Tensor | None, output: Any) -> Any:
        """Do the steps of one end of a module in their order; the result replaces what passes, None leaves it."""
        changed = None
        for _, same in groupby(steps, key=lambda numbered: (numbered[1].layout, numbered[1].value is None)):
            together = list(same)
            for number, _ in together:
                self.fired[number] += 1
            new = self._do([step for _, step in together], inputs, output)
            if new is not None:
                changed = new
                inputs, output = (new, output) if together[0][1].tap.end == "input" else (inputs, new)
        if self._stop and len(self.values) == self._reads:
            raise Enough
        return changed

    def _do(self, steps: Sequence[Step], inputs: Tensor | None, output: Any) -> Any:
        """Reads, or edits, of the same numbers."""
        tap = steps[0].tap
        passing = tap.read(inputs, output)
        if steps[0].value is None:
            self.values |= {step.site: step.selection.get(passing) for step in steps}
            return None
        new = passing.clone()
        for step in steps:
            assert step.value is not None  # all of one kind, see act
            step.selection.fill(new, step.value)
        return tap.write(inputs, output, new)


@contextmanager
def hooked(steps: Sequence[Step], *, stop: bool = False) -> Iterator[Trace]:
    """Within, ``steps`` are done, in their order, whenever the network runs; after, their hooks are gone.

    With ``stop`` the run ends, by raising `Enough`, as soon as all reads are done.
    """
    trace, handles = Trace(steps, stop=stop), list[RemovableHandle]()
    places: dict[tuple[int, str], list[tuple[int, Step]]] = {}
    for number, step in enumerate(steps):
        places.setdefault((id(step.tap.module), step.tap.end), []).append((number, step))
    try:
        for together in places.values():
            handles.append(_register(trace, together))
        yield trace
    finally:
        for handle in handles:
            handle.remove()


def _register(trace: Trace, steps: Sequence[tuple[int, Step]]) -> RemovableHandle:
    tap = steps[0][1].tap
    if tap.end == "output":

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            return trace.act(steps, _first_input(args, kwargs)[0], output)

        return tap.module.register_forward_hook(after, with_kwargs=True)

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        inputs, put = _first_input(args, kwargs)
        new = trace.act(steps, inputs, None)
        return None if new is None else put(new)

    return tap.module.register_forward_pre_hook(before, with_kwargs=True)


def _first_input(args: Any, kwargs: dict[str, Any]) -> tuple[Tensor | None, Any]:
    """A module's first tensor, however it was passed, and a function that gives the call with it replaced."""
    if args:
        return args[0], lambda new: ((new, *args[1:]), kwargs)
    name = next((name for name, value in kwargs.items() if isinstance(value, Tensor)), None)
    return (None, None) if name is None else (kwargs[name], lambda new: (args, {**kwargs, name: new}))


@contextmanager
def overheard(blocks: Sequence[nn.Module], caches: Sequence[Any]) -> Iterator[list[dict[str, Any]]]:
    """Within, the arguments of each block's call are kept by name, and it is given the cache of its own from here.

    A cache has the ``name`` of the argument that takes it.
    """
    calls: list[dict[str, Any]] = []
    with ExitStack() as stack:
        for block, cache in zip(blocks, caches, strict=True):
            hear = partial(_overhear, calls, cache)
            handle = block.register_forward_pre_hook(hear, with_kwargs=True, prepend=True)
            stack.callback(handle.remove)
        yield calls


def _overhear(calls: list[dict[str, Any]], cache: Any, module: nn.Module, args: Any, kwargs: Any) -> Any:
    signature = inspect.signature(module.forward)
    bound = signature.bind(*args, **kwargs).arguments
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound |= bound.pop(name, {})
    (_, hidden), *others = bound.items()
    if not isinstance(hidden, Tensor):
        raise ModelError("its blocks' forward is wrapped, so that it is not known what they are given")
    calls.append({name: value for name, value in bound.items() if name != cache.name})
    cache.version = version(hidden)
    return (hidden,), {**dict(others), cache.name: cache}


@contextmanager
def narrowed(first_part: nn.Module, last_part: nn.Module, rows: Tensor, positions: Tensor) -> Iterator[None]:
    """Within, only ``positions``, int64 [R, k], of what enters one module go on, until they leave another.

    Between them each position must be treated alone. What leaves is zero at the others, [R, width, ...] as ever.
    """
    width = 0

    def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
        nonlocal width
        inputs, put = _first_input(args, kwargs)
        assert inputs is not None
        width = inputs.shape[1]
        return put(inputs[rows, positions])

    def after(_: nn.Module, args: Any, output: Any) -> Any:
        few = first(output)
        return with_first(output, few.new_zeros(len(few), width, *few.shape[2:]).index_put((rows, positions), few))

    with ExitStack() as stack:
        stack.callback(first_part.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(last_part.register_forward_hook(after).remove)
        yield
