"""What tells one search from all others? A hash of everything that its result depends on."""

import copyreg
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causalmi.engine.featurizers.constants import Held, Kept
from causalmi.engine.featurizers.features import Features
from causalmi.engine.projection import Fixed
from causalmi.errors import UsageError

PLAIN = (int, float, complex, str, bytes, type(None), type(...))
NUMBERS = (*PLAIN, tuple, Tensor, np.ndarray, partial)
METHODS = (FunctionType, property, cached_property, staticmethod, classmethod)
BY_NAME = {*sys.stdlib_module_names, "torch", "numpy", "causalmi"}  # whose classes have no code that a user changes
CACHES: dict[type, str] = {Kept: "_moved", Held: "_kept", Features: "_proved", Fixed: "_kept"}  # filled by use
BARE = {*vars(nn.Module())}  # what every module has, such as whether it is being trained, which no search depends on
Parts = bytes | Iterable[Any]


class Fingerprint:
    """The hash of what was added to it, each thing under a name; equal in every process."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, *values: Any) -> None:
        """Add values by numbers, code and fields, not as they print; raises UsageError for a lock, a generator."""
        try:
            for told in map(told_of, values):
                self._digest.update(f"{name}{len(told)}:".encode() + told)
        except (TypeError, RuntimeError) as error:
            raise UsageError(
                f"a checkpoint cannot tell this {name} from another ({error}); make it of tensors, numbers, functions "
                "and objects of them, or search without checkpoint="
            ) from error

    def add_network(self, module: nn.Module) -> None:
        """Add a network: what it is made of, and its weights."""
        self.add("network", str(module))
        for name, weight in module.state_dict().items():
            self.add(name, weight)

    def text(self) -> str:
        """The hash of what was added until now."""
        return self._digest.hexdigest()


def told_of(value: Any, above: tuple[int, ...] = ()) -> bytes:
    """The bytes that stand for a value, which the objects ``above`` hold; raises TypeError or RuntimeError."""
    if id(value) in above:  # it holds itself
        return f"above {above[::-1].index(id(value))}".encode()
    above, kind = (*above, id(value)), type(value)
    parts = next(take for kinds, take in PARTS.items() if isinstance(value, kinds))(value)
    told = [parts] if isinstance(parts, bytes) else [told_of(part, above) for part in parts]
    told = sorted(told) if isinstance(value, set | frozenset) else told
    told += [] if _by_name(kind) else [told_of(kind, above)]
    return f"{kind.__module__}.{kind.__qualname__}{list(map(len, told))}".encode() + b"".join(told)


def _tensor(x: Tensor) -> Parts:
    plain = x.detach().cpu().resolve_conj().resolve_neg().contiguous().flatten()
    return f"{tuple(x.shape)}{x.dtype}".encode() + (plain.view(torch.uint8).numpy().tobytes() if x.numel() else b"")


def _array(x: Any) -> Parts:
    return [x.shape, x.tolist()] if x.dtype.hasobject else f"{x.shape}{x.dtype!r}".encode() + x.tobytes()


def _class(kind: type) -> Parts:
    """Its name, and of a user's own the methods and constants."""
    every = [(name, vars(base)[name]) for base in kind.__mro__ if not _by_name(base) for name in sorted(vars(base))]
    said = [(n, x) for n, x in every if isinstance(x, METHODS) or (isinstance(x, NUMBERS) and n[:2] != "__")]
    return str(kind.__module__), kind.__qualname__, said


def _function(f: Any) -> Parts:
    """Its code, what it closes over, and the numbers of its module that it names."""
    every = [(name, f.__globals__.get(name, f)) for name in sorted(_names(f.__code__))]
    used = [(name, x) for name, x in every if isinstance(x, NUMBERS)]
    return f.__code__, f.__defaults__, f.__kwdefaults__, f.__closure__, vars(f), used


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, CodeType)))


def _module(module: nn.Module) -> Parts:
    every = vars(module)
    hooks = [list(every[name].values()) for name in ("_forward_pre_hooks", "_forward_hooks")]
    inner = [every[name] for name in ("_parameters", "_buffers", "_modules")]
    return [hooks, inner, *((name, every[name]) for name in sorted(every.keys() - BARE))]


def _fields(value: Any) -> list[Any]:
    """What it holds by name, without what is computed again when it is used."""
    state: Any = object.__getstate__(value)
    parts = state if isinstance(state, tuple) else (state,)  # the second is of slots
    every = {name: x for some in parts for name, x in (some or {}).items()}
    caches = {name for kind, name in CACHES.items() if isinstance(value, kind)}
    caches |= {name for name in every if isinstance(getattr(type(value), name, None), cached_property)}
    return [(name, every[name]) for name in sorted(every.keys() - caches)]


def _other(value: Any) -> Parts:
    """Its fields, or what pickle would keep of a thing without any; of compiled functions their name."""
    if hasattr(value, "__dict__"):
        return [getattr(value, "__qualname__", ""), *_fields(value)]
    reduce: Any = copyreg.dispatch_table.get(type(value), lambda x: x.__reduce_ex__(4))
    found = reduce(value)
    return found.encode() if isinstance(found, str) else found


def _plain(value: Any) -> Parts:
    kind: Any = next(kind for kind in PLAIN if isinstance(value, kind))
    told = kind.__repr__(value).encode()  # whatever its own class prints
    return [told, *_fields(value)] if hasattr(value, "__dict__") else told


def _by_name(kind: type) -> bool:
    return str(kind.__module__).partition(".")[0] in BY_NAME


PARTS: dict[Any, Callable[[Any], Parts]] = {  # of the first kind that it is: its bytes, or simpler things that tell it
    PLAIN: _plain,
    Tensor: _tensor,
    (np.ndarray, np.generic): _array,
    type: _class,
    ModuleType: lambda x: x.__name__.encode(),
    FunctionType: _function,
    CodeType: lambda x: (x.co_code, x.co_names, x.co_consts, x.co_freevars),
    CellType: lambda x: (x.cell_contents,) if x != CellType() else b"empty",
    MethodType: lambda x: (x.__func__, x.__self__),
    BuiltinFunctionType: lambda x: (x.__qualname__, x.__self__),
    partial: lambda x: (x.func, x.args, x.keywords),
    METHODS[1:]: lambda x: [getattr(x, name) for name in ("fget", "func", "__func__") if hasattr(x, name)],
    nn.Module: _module,
    Mapping: lambda x: [*x.items(), *_fields(x)],
    (list, tuple, set, frozenset): lambda x: [*x, *_fields(x)],
    object: _other,
}
