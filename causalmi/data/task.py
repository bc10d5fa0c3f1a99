"""What is a network asked? A causal model, with the way its settings become inputs and its output becomes an answer."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from jaxtyping import Int
from torch import Tensor

from causalmi.data.coded_form import CodedForm
from causalmi.data.drawn import Drawn
from causalmi.data.form import Form
from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.positions import is_single
from causalmi.data.prompt import Prompt
from causalmi.data.seen_form import SeenForm
from causalmi.data.text_form import TextForm
from causalmi.errors import DataError, SpecError
from causalmi.spec.causal_model import CausalModel

BALANCES = (None, "output", "change")


@dataclass(frozen=True, eq=False, init=False)
class Task:
    """Settings of a causal model as examples for a network, with the answers that the causal model gives.

    For a language model, ``prompt``, a template such as ``"{x}+{y}="`` or a function from a setting to one, and
    ``answer``, a template whose text must add exactly one token to the prompt; ``choices``, templates of the candidate
    answers, restricts the network's answer to them. For other networks, ``encode``, a function from a setting to token
    ids or floats, and ``label``, one to the index of a class; ``positions`` maps names to own tokens.
    Every variable may be used; settings under an intervention go through ``answer`` and ``label`` as well.
    ``readout`` is the position whose logits are scored. ``balance`` is that of `CausalModel.sample_pairs`.
    Raises SpecError that lists everything wrong at once.
    """

    model: CausalModel
    form: Form
    readout: int | str
    balance: Literal["output", "change"] | None
    name: str

    def __init__(  # noqa: PLR0913  (the public call: the model, the two ways to ask, and how answers are scored)
        self,
        causal_model: CausalModel,
        *,
        prompt: str | Callable[[Mapping[str, Any]], str] | None = None,
        answer: str | None = None,
        choices: Sequence[str] | None = None,
        encode: Callable[[Mapping[str, Any]], Any] | None = None,
        label: Callable[[Mapping[str, Any]], Any] | None = None,
        positions: Mapping[str, int | Callable[[Mapping[str, Any]], Any]] | None = None,
        readout: int | str = "last",
        balance: Literal["output", "change"] | None = None,
        name: str | None = None,
    ):
        text = {"prompt": prompt, "answer": answer, "choices": choices}
        code = {"encode": encode, "label": label, "positions": positions}
        form, problems = _form(text, code)
        problems.extend(_model_problems(causal_model, form))
        if type(readout) is not int and not (isinstance(readout, str) and is_single(readout)):
            problems.append(f"readout is {readout!r}, it must be one position: an int, 'last' or a name")
        if balance not in BALANCES:
            problems.append(f"balance is {balance!r}, it must be one of {', '.join(map(repr, BALANCES))}")
        if problems:
            raise SpecError(f"task {name!r}" if name else "task", problems)
        fields = {"model": causal_model, "form": form, "readout": readout, "balance": balance, "name": name or "task"}
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.form!r})"

    def pairs(self, n: int, *, vary: Sequence[str] | None = None, seed: int) -> CounterfactualPairs:
        """``n`` bases with an independent source for each of ``vary``, by default all between inputs and output.

        A task with a prompt gives pairs that are bound to a tokenizer later. Raises DataError or SpecError for what
        cannot be drawn.
        """
        if type(n) is not int or n < 1:
            raise DataError(f"n is {n!r}; ask for a whole number of pairs from 1")
        chosen = self._vary(vary)
        drawn = Drawn.of(self.model, *self.model.sample_pairs(n, chosen, seed=seed, balance=self.balance))
        pairs = CounterfactualPairs(drawn=drawn, task=self, seed=seed, vary=chosen)
        return pairs if self.form.needs_tokenizer else pairs.bind(None)

    def encode(self, settings: pd.DataFrame, tokenizer: Any = None) -> Inputs:
        """What the network is run on for each row of ``settings``, columns for all variables; raises DataError."""
        return self.form.inputs(records(settings), tokenizer)

    def labels(self, settings: pd.DataFrame, inputs: Inputs, tokenizer: Any = None) -> Int[Tensor, " n"]:
        """The answer of each row of ``settings`` as a token after the same row of ``inputs``, or as a class.

        ``settings`` may be counterfactual: ``inputs`` are then those of the base. Raises DataError for an answer of
        several tokens.
        """
        return self.form.labels(records(settings), inputs, tokenizer)

    def choice_ids(self, settings: pd.DataFrame, inputs: Inputs, tokenizer: Any = None) -> Int[Tensor, "n c"] | None:
        """The candidate answers of each row of ``settings`` after the same row of ``inputs``; None for all outputs."""
        return self.form.choice_ids(records(settings), inputs, tokenizer)

    def texts(self, settings: pd.DataFrame) -> tuple[str, ...]:
        """The prompt of each row of ``settings``; empty for a task without prompts."""
        return self.form.texts(records(settings))

    def retold(self, model: CausalModel, seen: str) -> "Task":
        """The same inputs and answers for another causal model of the same inputs.

        ``seen`` is its variable whose value is the set of those inputs, as tuples, that the answer is computed from.
        """
        told = copy(self)
        object.__setattr__(told, "form", SeenForm(self.form, self.model, seen))
        object.__setattr__(told, "model", model)
        return told

    def _vary(self, vary: Sequence[str] | None) -> tuple[str, ...]:
        between = tuple(v for v in self.model.variables if v not in self.model.inputs and v != self.model.output)
        chosen = between if vary is None else (vary,) if isinstance(vary, str) else tuple(vary)
        unknown = [v for v in chosen if v not in self.model.variables]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise DataError(
                f"vary is {list(chosen)}; name one or more variables of the causal model, each once: "
                f"{', '.join(self.model.variables)}"
            )
        return chosen


def _model_problems(model: Any, form: Form | None) -> list[str]:
    if not isinstance(model, CausalModel):
        return [f"the causal model is a {type(model).__name__}, it must be a causalmi.CausalModel"]
    return [] if form is None else list(form.problems(model.variables))


def records(settings: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as settings, with plain Python values."""
    return [{str(name): value for name, value in row.items()} for row in settings.to_dict("records")]


def _form(text: Mapping[str, Any], code: Mapping[str, Any]) -> tuple[Form | None, list[str]]:
    """The one way to ask that was given, or why there is none."""
    given = [name for name, value in {**text, **code}.items() if value is not None]
    ways = [{"prompt", "answer"} <= set(given) <= set(text), {"encode", "label"} <= set(given) <= set(code)]
    if not any(ways):
        both = "prompt= and answer= (with choices=), or encode= and label= (with positions=)"
        return None, [f"it is given {', '.join(given) or 'nothing'}; give {both}"]
    if ways[1]:
        return CodedForm(code["encode"], code["label"], dict(code["positions"] or {})), []
    return _text_form(**text)


def _text_form(prompt: Any, answer: Any, choices: Any) -> tuple[Form | None, list[str]]:
    problems: list[str] = []

    def template(given: Any) -> Prompt:
        try:
            return Prompt(given)
        except SpecError as error:
            problems.extend(f"{error.subject}: {p}" for p in error.problems)
            return Prompt("")

    asked = prompt if callable(prompt) else template(prompt)
    among = [choices] if isinstance(choices, str) else choices
    candidates = None if among is None else tuple(template(choice) for choice in among)
    return TextForm(asked, template(answer), candidates), problems
