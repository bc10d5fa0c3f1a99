"""How is a setting put to a network by a causal model that says only which inputs its answer is computed from?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Int
from torch import Tensor

from causalmi.data.form import Form, Settings
from causalmi.data.inputs import Inputs
from causalmi.errors import SpecError
from causalmi.spec.causal_model import CausalModel
from causalmi.spec.columns import column, frame


@dataclass(frozen=True, eq=False)
class SeenForm(Form):
    """The ``form`` of a task with its own causal ``model``; ``seen`` is the variable that holds a set of inputs.

    Labels are the task's own for the one input in that set; raises SpecError where there are several.
    """

    form: Form
    model: CausalModel
    seen: str

    @property
    def needs_tokenizer(self) -> bool:  # type: ignore[override]
        """Whether the task's own form does."""
        return self.form.needs_tokenizer

    def __repr__(self) -> str:
        return repr(self.form)

    def problems(self, variables: Sequence[str]) -> Iterator[str]:
        yield from ()

    def texts(self, settings: Settings) -> tuple[str, ...]:
        return self.form.texts(self._own(settings))

    def inputs(self, settings: Settings, tokenizer: Any) -> Inputs:
        return self.form.inputs(self._own(settings), tokenizer)

    def labels(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, " n"]:
        if any(len(setting[self.seen]) != 1 for setting in settings):
            said = "the answer is computed from several inputs at once, of which the claim predicts nothing; "
            jointly = "interchange all that the logits read jointly: sets=task.model.together(hypothesis.variables)"
            raise SpecError("counterfactual", [said + jointly])
        return self.form.labels(self._run(next(iter(s[self.seen])) for s in settings), inputs, tokenizer)

    def choice_ids(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, "n c"] | None:
        return self.form.choice_ids(self._own(settings), inputs, tokenizer)

    def _own(self, settings: Settings) -> list[dict[str, Any]]:
        """The settings of the inputs, as the task's own causal model completes them."""
        return self._run(tuple(setting[name] for name in self.model.inputs) for setting in settings)

    def _run(self, inputs: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
        columns: Mapping[str, Any] = dict(zip(self.model.inputs, zip(*inputs, strict=True), strict=False))
        table = self.model.run_columns(frame({name: column(values) for name, values in columns.items()}))
        return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
