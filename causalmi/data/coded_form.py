"""How is a setting put to a network without a tokenizer? The user's own functions to inputs, labels and positions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.form import Form, Settings
from causalmi.data.inputs import Inputs
from causalmi.data.positions import as_indices
from causalmi.data.prompt import RESERVED
from causalmi.data.text_form import padded
from causalmi.errors import DataError, PositionError


@dataclass(frozen=True)
class CodedForm(Form):
    """``encode`` gives a setting's token ids or array of floats, ``label`` its class; ``positions`` names tokens."""

    encode: Callable[[Mapping[str, Any]], Any]
    label: Callable[[Mapping[str, Any]], Any]
    positions: Mapping[str, Any]

    needs_tokenizer = False

    def __repr__(self) -> str:
        return f"encode={_name(self.encode)}, label={_name(self.label)}"

    def problems(self, variables: Sequence[str]) -> Iterator[str]:
        functions: dict[str, Any] = {"encode": self.encode, "label": self.label}
        for what, function in functions.items():
            if not callable(function):
                yield f"{what} is {function!r}, it must be a function of a setting"
        for name, where in self.positions.items():
            if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
                yield f"the position name {name!r} must be a plain name other than {', '.join(RESERVED)}"
            if type(where) is not int and not callable(where):
                yield f"the position {name!r} is {where!r}, it must be an int or a function of a setting"

    def texts(self, settings: Settings) -> tuple[str, ...]:
        return ()

    def inputs(self, settings: Settings, tokenizer: Any) -> Inputs:
        rows = [_array(_called("encode", self.encode, setting), setting) for setting in settings]
        if all(row.dtype.kind in "iu" for row in rows):
            values, mask = padded([_ids(row, s) for row, s in zip(rows, settings, strict=True)])
            plain = Inputs(values, mask)
        else:
            plain = Inputs.of(torch.from_numpy(_stacked(rows)))
        spans = {name: tuple(self._span(name, settings, plain)) for name in self.positions}
        return Inputs(plain.values, plain.mask, spans, tuple(settings))

    def labels(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, " n"]:
        return torch.tensor(
            [_class(_called("label", self.label, setting), setting) for setting in settings], dtype=torch.long
        )

    def choice_ids(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, "n c"] | None:
        return None

    def _span(self, name: str, settings: Settings, inputs: Inputs) -> Iterator[tuple[int, ...]]:
        where = self.positions[name]
        for setting, length in zip(settings, inputs.lengths.tolist(), strict=True):
            given = where(setting) if callable(where) else where
            own = as_indices(given)
            if own is None or any(not -length <= i < length for i in own):
                raise PositionError(
                    f"the position {name!r} is {given!r} for {dict(setting)}, whose input has {length} positions; "
                    f"give ints from {-length} to {length - 1}"
                )
            yield tuple(sorted({i % length for i in own}))


def _called(what: str, function: Callable[[Mapping[str, Any]], Any], setting: Mapping[str, Any]) -> Any:
    try:
        return function(setting)
    except Exception as error:
        message = (
            f"{what} fails for {dict(setting)}: {type(error).__name__}: {error}; check the function that the task has"
        )
        raise DataError(message) from error


def _array(given: Any, setting: Mapping[str, Any]) -> NDArray[Any]:
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf" or array.size == 0 or array.ndim == 0:
        raise DataError(f"encode gives {given!r} for {dict(setting)}; it must give token ids (ints) or floats")
    return array


def _ids(array: NDArray[Any], setting: Mapping[str, Any]) -> list[int]:
    if array.ndim != 1 or int(array.min()) < 0:
        raise DataError(f"encode gives ints {array.tolist()} for {dict(setting)}; token ids are a list of ints from 0")
    return [int(i) for i in array]


def _stacked(rows: list[NDArray[Any]]) -> NDArray[Any]:
    if shapes := sorted({row.shape for row in rows} - {rows[0].shape}):
        raise DataError(
            f"unequal lengths: encode gives arrays of shape {rows[0].shape} and {shapes[0]}; give floats of one shape"
        )
    return np.stack([row if row.dtype.kind == "f" else row.astype(np.float64) for row in rows])


def _class(given: Any, setting: Mapping[str, Any]) -> int:
    plain = given.item() if hasattr(given, "item") else given
    if not isinstance(plain, int) or plain < 0:
        raise DataError(f"label gives {given!r} for {dict(setting)}; it must give the index of a class, an int from 0")
    return int(plain)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))
