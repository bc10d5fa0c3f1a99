"""How does a file offer hypotheses? As functions marked `@hypothesis`, whose parameters the command line can set."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from causalmi.errors import CausalmiError, UsageError
from causalmi.spec.hypothesis import Hypothesis

READERS: dict[type, Callable[[str], Any]] = {int: int, float: float, str: str}
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class HypothesisFactory:
    """A function that makes a hypothesis; calling it gives the hypothesis, named after the function."""

    make: Callable[..., Hypothesis]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.make.__name__

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What can be set, with defaults and types."""
        return inspect.signature(self.make).parameters

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.make) or "").split("\n")[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Hypothesis:
        made = self.make(*args, **kwargs)
        if not isinstance(made, Hypothesis):
            raise UsageError(
                f"{self.name} gave a {type(made).__name__}; a @hypothesis function must return a Hypothesis"
            )
        return replace(made, name=self.name)

    def with_text(self, given: Mapping[str, str]) -> tuple[Hypothesis, dict[str, Any]]:
        """The hypothesis for parameters written as text, and all parameters as they were read.

        Raises UsageError for a parameter that there is not, or a text that its type cannot read.
        """
        settings = {name: p.default for name, p in self.parameters.items() if p.default is not p.empty}
        settings |= {name: self._read(name, text) for name, text in given.items()}
        if missing := [name for name in self.parameters if name not in settings]:
            raise UsageError(f"{self.name} needs {', '.join(missing)}; give -P {missing[0]}=VALUE")
        try:
            return self(**settings), settings
        except CausalmiError:
            raise
        except Exception as error:  # whatever the user's function raises
            shown = ", ".join(f"{name}={value!r}" for name, value in settings.items())
            raise UsageError(f"{self.name}({shown}) fails: {type(error).__name__}: {error}") from error

    def _read(self, name: str, text: str) -> Any:
        if name not in self.parameters:
            allowed = ", ".join(self.parameters) or "none"
            raise UsageError(f"{self.name} has no parameter {name!r}; its parameters are: {allowed}")
        kind = self._kind(self.parameters[name])
        try:
            return TRUTHS[text.lower()] if kind is bool else READERS[kind](text)
        except (ValueError, KeyError):
            raise UsageError(
                f"-P {name}={text}: {text!r} is no {kind.__name__}, which {self.name} needs there"
            ) from None

    def _kind(self, parameter: inspect.Parameter) -> type:
        """The type to read text as: the annotation's, else the default's, else str."""
        kinds: tuple[type, ...] = (bool, int, float, str)
        for kind in kinds:
            if parameter.annotation in (kind, kind.__name__) or type(parameter.default) is kind:
                return kind
        return str


def hypothesis(make: Callable[..., Hypothesis]) -> HypothesisFactory:
    """Mark a function that returns a `Hypothesis`, so that ``causalmi run FILE`` finds it by its name.

    Its parameters, with their defaults, are what ``-P name=value`` sets.
    """
    return HypothesisFactory(make)
