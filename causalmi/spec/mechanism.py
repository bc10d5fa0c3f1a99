"""How is one variable computed from its parents, for one example and for many?"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from causalmi.errors import DataError, SpecError
from causalmi.spec import elementwise
from causalmi.spec.columns import Column, column
from causalmi.spec.domain import Domain

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ERRORS: Any = {"over": "raise", "invalid": "raise", "divide": "raise"}  # numpy's scalars would only warn


@dataclass(frozen=True, eq=False)
class Mechanism:
    """The function of one variable. ``vectorised``: its arithmetic on whole columns was found to be the same."""

    name: str
    function: Callable[..., Any]
    parents: tuple[str, ...]
    domain: Domain
    vectorised: bool = False

    def one(self, *args: Any) -> Any:
        """Its value for one example; SpecError when the function raises or leaves its domain."""
        cause: Exception
        try:
            with np.errstate(**_ERRORS):
                return self.domain.admit(self.function(*args))
        except DataError as error:
            said, cause = ": " + str(error).rstrip("."), error
        except Exception as error:  # a user's function may raise anything  # noqa: BLE001
            said, cause = f" raises {type(error).__name__}: {error}", error
        at = " at " + ", ".join(f"{p}={a!r}" for p, a in zip(self.parents, args, strict=True)) if args else ""
        raise SpecError("CausalModel", [f"mechanism {self.name!r}{at}{said}"]) from cause

    def many(self, columns: Sequence[Column], n: int) -> Column:
        """Its values for ``n`` examples, one column per parent; the same values, or the same SpecError, as `one`."""
        if self.vectorised:
            try:
                return self.domain.admit_column(elementwise.evaluate(self.function, list(columns)))
            except Exception:  # noqa: BLE001
                pass  # row by row, which gives the value or says what is wrong
        return self.rows(columns, n)

    def rows(self, columns: Sequence[Column], n: int) -> Column:
        """`many`, by calling the function once per example."""
        args = list(zip(*(c.tolist() for c in columns), strict=True)) if columns else list(repeat((), n))
        try:
            with np.errstate(**_ERRORS):
                return self.domain.admit_column(column([self.function(*a) for a in args]))
        except Exception:  # noqa: BLE001
            return column([self.one(*a) for a in args])  # raises at the row that is wrong, and says which


def read_parents(name: str, function: object) -> tuple[tuple[str, ...], list[str]]:
    """The parents in a function's argument names, and what is wrong with its arguments."""
    if not callable(function):
        return (), [f"mechanism {name!r} is {function!r}; give a function of its parents"]
    try:
        arguments = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return (), [f"the argument names of mechanism {name!r} cannot be read; wrap it: lambda x, y: f(x, y)"]
    parents = tuple(a.name for a in arguments if a.kind in _POSITIONAL)
    return parents, [p for a in arguments if (p := _problem(name, a))]


def _problem(name: str, argument: inspect.Parameter) -> str | None:
    if argument.kind not in _POSITIONAL:
        kind = "keyword-only" if argument.kind is argument.KEYWORD_ONLY else "variadic"
        return f"mechanism {name!r} has the {kind} argument {str(argument)!r}; name each parent as a plain argument"
    if argument.default is not argument.empty:
        return (
            f"mechanism {name!r} gives its argument {argument.name!r} a default, so it is unclear whether that is a "
            "parent; leave the default out, and bind constants outside of the function"
        )
    return None
