"""What tells one search from all others? A hash of everything that its result depends on."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Fingerprint:
    """The hash of what was added to it, each thing under a name; equal in every process."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, *values: Any) -> None:
        """Add values: tensors by their numbers, functions by their code, anything else as it prints."""
        for value in values:
            self._digest.update(f"{name}{len(told := told_of(value))}:".encode())
            self._digest.update(told)

    def add_network(self, module: nn.Module) -> None:
        """Add a network: what it is made of, and its weights."""
        self.add("network", str(module))
        for name, weight in module.state_dict().items():
            self.add(name, weight)

    def text(self) -> str:
        """The hash of what was added until now."""
        return self._digest.hexdigest()


def told_of(value: Any) -> bytes:
    """The bytes that stand for a value."""
    if isinstance(value, Tensor | np.ndarray):
        return told_of_numbers(torch.as_tensor(value))
    if isinstance(value, nn.Module):
        return str(value).encode() + told_of(value.state_dict())
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _told_of_several(value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__qualname__.encode() + told_of({f.name: getattr(value, f.name) for f in fields(value)})
    if callable(value):
        return code_of(value).encode()
    if repr(value) == object.__repr__(value):  # which tells its address
        return type(value).__qualname__.encode() + told_of(getattr(value, "__dict__", {}))
    return repr(value).encode()


def _told_of_several(values: Any) -> bytes:
    if isinstance(values, Mapping):
        return b"{" + b",".join(told_of(k) + b"=" + told_of(v) for k, v in values.items()) + b"}"
    listed = sorted(values, key=repr) if isinstance(values, set | frozenset) else values
    return b"(" + b",".join(map(told_of, listed)) + b")"


def told_of_numbers(x: Tensor) -> bytes:
    """The numbers of a tensor with their shape and type."""
    numbers = x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() if x.numel() else b""
    return f"{tuple(x.shape)}{x.dtype}".encode() + numbers


def code_of(function: Any) -> str:
    """What a function does, as far as its code, constants, defaults and what it closes over tell."""
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(function).__qualname__} {getattr(function, '__dict__', function)!r}"
    inner = [
        code_of(cell.cell_contents) if callable(cell.cell_contents) else repr(cell.cell_contents)
        for cell in function.__closure__ or ()
    ]
    return repr(
        (
            code.co_code.hex(),
            [c for c in code.co_consts if not hasattr(c, "co_code")],
            code.co_names,
            function.__defaults__,
            inner,
        )
    )
