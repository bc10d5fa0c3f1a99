"""Which tokens does a position mean? Ints, names of a template, callables: resolved and checked for each example.

Positions are counted in an example's own tokens, so padding, on either side, never counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.errors import PositionError

FORMS = "an int, 'last', 'name', 'name:first', 'name:last', 'name:all', 'before:name', 'after:name', or a callable"


@dataclass(frozen=True)
class Example:
    """What a callable position is given: the example's own tokens, its text and its setting of the causal model.

    ``tokens`` are token ids (for numbers, the values at each position); ``text`` is None and ``values`` empty where the
    example was not made by a task.
    """

    tokens: tuple[Any, ...]
    text: str | None
    values: Mapping[str, Any]


def is_single(at: Any) -> bool:
    """Whether ``at`` is one position by its form, so that values there lose their position axis.

    None, "name:all", callables and lists keep the axis, however many positions they give.

    >>> is_single("before:z"), is_single(["before:z"]), is_single("z:all")
    (True, False, False)
    """
    return type(at) is int or (isinstance(at, str) and not at.endswith(":all"))


def resolve(at: Any, inputs: Inputs) -> Int[Tensor, "n k"] | None:
    """The indices, int64 [n, k], counted with padding, of the positions ``at`` in each example; None for all.

    A name is the last token of its span; of a name that a template uses twice, "first" is in the first place and "last"
    in the last. Raises PositionError for a position that an example does not have, or names twice, and when examples
    differ in how many there are.

    >>> resolve("last", Inputs.of([[5, 6, 7], [0, 8, 9]], mask=[[1, 1, 1], [0, 1, 1]]))
    tensor([[2],
            [2]])
    """
    if at is None:
        return None
    if not bool((inputs.lengths > 0).all()):
        raise PositionError(f"{at!r} asks for a position, but the inputs are numbers [n, features] without positions")
    parts = at if isinstance(at, list | tuple) else (at,)
    if not parts:
        raise PositionError(f"the list of positions is empty; give {FORMS}")
    found = torch.cat([_resolve(part, inputs) for part in parts], dim=1)
    _refuse_twice(at, found, inputs)
    return found


def _resolve(at: Any, inputs: Inputs) -> Int[Tensor, "n k"]:
    if type(at) is int:
        return _placed(at, torch.full((len(inputs), 1), at), inputs)
    if at == "last":
        return _placed(at, torch.full((len(inputs), 1), -1), inputs)
    if isinstance(at, str):
        return _named(at, inputs)
    if callable(at):
        return _called(at, inputs)
    raise PositionError(f"{at!r} is no position; give {FORMS}, or a list of these")


def _from_own(at: Any, own: list[list[int]], inputs: Inputs) -> Int[Tensor, "n k"]:
    """Indices among each example's own tokens, as many in each."""
    _equal_numbers(at, own, inputs)
    return _placed(at, torch.tensor(own, dtype=torch.long).view(len(inputs), -1), inputs)


def _placed(at: Any, index: Int[Tensor, "n k"], inputs: Inputs) -> Int[Tensor, "n k"]:
    """Indices among each example's own tokens, negative ones from its end, checked and moved past the padding."""
    lengths, starts = inputs.lengths.cpu()[:, None], inputs.starts.cpu()[:, None]
    outside = ((index < -lengths) | (index >= lengths)).any(1)
    if bool(outside.any()):
        row = int(outside.int().argmax())
        length = int(lengths[row])
        asked = next(i for i in index[row].tolist() if not -length <= i < length)
        raise _error(at, row, inputs, f"position {asked} is not there; give one from {-length} to {length - 1}")
    return torch.where(index < 0, index + lengths, index) + starts


def _named(at: str, inputs: Inputs) -> Int[Tensor, "n k"]:
    """Positions by the name of a span: the part before or after the colon says which."""
    name, part = _parse(at, inputs)
    starts, lengths = inputs.starts.tolist(), inputs.lengths.tolist()
    own = []
    for row, (span, start, length) in enumerate(zip(inputs.spans[name], starts, lengths, strict=True)):
        if not span:
            raise _error(at, row, inputs, f"{name!r} has no token there; leave such examples out, or name another")
        first, last = span[0] - start, span[-1] - start
        if (part, first) == ("before", 0) or (part, last) == ("after", length - 1):
            raise _error(at, row, inputs, f"no token comes {part} {name!r} there")
        several = {"all": [i - start for i in span], "before": [first - 1], "after": [last + 1], "first": [first]}
        own.append(several.get(part, [last]))
    return _from_own(at, own, inputs)


def _parse(at: str, inputs: Inputs) -> tuple[str, str]:
    if at in inputs.spans:
        return at, "last"
    head, _, tail = at.partition(":")
    if head in ("before", "after") and tail in inputs.spans:
        return tail, head
    if head in inputs.spans and tail in ("first", "last", "all"):
        return head, tail
    if not inputs.spans:
        raise PositionError(f"{at!r} is no position here: these examples name none; give an int, 'last' or a callable")
    names = ", ".join(map(repr, inputs.spans))
    raise PositionError(f"{at!r} is no position here; the names are {names}. A position is {FORMS}")


def _called(at: Any, inputs: Inputs) -> Int[Tensor, "n k"]:
    own = []
    for row, tokens in enumerate(inputs.real()):
        text = inputs.texts[row] if inputs.texts else None
        given = at(Example(tokens, text, inputs.examples[row] if inputs.examples else {}))
        indices = as_indices(given)
        if indices is None:
            raise _error(at, row, inputs, f"the callable gives {given!r}; it must give an int or a list of ints")
        own.append(indices)
    return _from_own(at, own, inputs)


def as_indices(given: Any) -> list[int] | None:
    """``given`` as a list of ints, when it is an int or a non-empty sequence of ints; else None."""
    given = given.tolist() if hasattr(given, "tolist") else given
    several = [given] if type(given) is int else list(given) if isinstance(given, list | tuple | range) else []
    plain = [i.item() if hasattr(i, "item") else i for i in several]
    return plain if plain and all(type(i) is int for i in plain) else None


def _equal_numbers(at: Any, own: list[list[int]], inputs: Inputs) -> None:
    for row, indices in enumerate(own):
        if len(indices) != len(own[0]):
            raise _error(
                at, row, inputs, f"it has {len(indices)} positions there and {len(own[0])} in the first example; "
                "unequal lengths cannot be interchanged, so name one token, as 'name:first' does"
            )  # fmt: skip


def _refuse_twice(at: Any, found: Int[Tensor, "n k"], inputs: Inputs) -> None:
    ordered = found.sort(1).values
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(1)
    if bool(twice.any()):
        row = int(twice.int().argmax())
        raise _error(at, row, inputs, f"two of the positions {found[row].tolist()} are one token; name it once")


def _error(at: Any, row: int, inputs: Inputs, problem: str) -> PositionError:
    name = getattr(at, "__name__", repr(at)) if callable(at) else repr(at)
    length = int(inputs.lengths[row])
    return PositionError(f"{name} in example {row}, {inputs.show(row)} of {length} tokens: {problem}")
