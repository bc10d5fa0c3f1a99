"""How is a setting put to a language model? A prompt, filled in, and the one token that must follow it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from causalmi.data.form import Form, Settings
from causalmi.data.inputs import Inputs
from causalmi.data.prompt import Prompt, Rendered, prompt_tokens
from causalmi.data.tokens import shower, token_ids
from causalmi.errors import DataError


@dataclass(frozen=True)
class TextForm(Form):
    """``prompt``: a template, or a callable that gives each setting its own; ``answer``, ``choices``: templates."""

    prompt: Prompt | Callable[[Mapping[str, Any]], str]
    answer: Prompt
    choices: tuple[Prompt, ...] | None

    needs_tokenizer = True

    def __repr__(self) -> str:
        prompt = self.prompt.template if isinstance(self.prompt, Prompt) else self.prompt
        return f"prompt={prompt!r}, answer={self.answer.template!r}"

    def problems(self, variables: Sequence[str]) -> Iterator[str]:
        templates = [p for p in (self.prompt, self.answer, *(self.choices or ())) if isinstance(p, Prompt)]
        for template in templates:
            for name in template.variables:
                if name not in variables:
                    yield f"{template.template!r} names {name!r}; the causal model has {', '.join(variables)}"
        if self.choices == ():
            yield "choices is empty; give the candidate answers, or leave it out"

    def texts(self, settings: Settings) -> tuple[str, ...]:
        return tuple(r.text for r in self._rendered(settings))

    def inputs(self, settings: Settings, tokenizer: Any) -> Inputs:
        rendered = self._rendered(settings)
        tokens, spans = prompt_tokens(rendered, tokenizer)
        values, mask = padded([t.ids for t in tokens])
        return Inputs(
            values=values,
            mask=mask,
            spans=spans,
            examples=tuple(settings),
            texts=tuple(r.text for r in rendered),
            tokens_text=shower(tokenizer),
        )

    def labels(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, " n"]:
        return self._next_tokens([self.answer], settings, inputs, tokenizer)[:, 0]

    def choice_ids(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, "n c"] | None:
        return None if self.choices is None else self._next_tokens(self.choices, settings, inputs, tokenizer)

    def _rendered(self, settings: Settings) -> list[Rendered]:
        if isinstance(self.prompt, Prompt):
            return [self.prompt.render(setting) for setting in settings]
        given = [self.prompt(setting) for setting in settings]
        known = {template: Prompt(template) for template in dict.fromkeys(given)}
        return [known[template].render(setting) for template, setting in zip(given, settings, strict=True)]

    def _next_tokens(
        self, answers: Sequence[Prompt], settings: Settings, inputs: Inputs, tokenizer: Any
    ) -> Int[Tensor, "n c"]:
        """The token that each answer adds to the input's prompt, found by tokenising the two together."""
        wanted = [[answer.render(setting).text for answer in answers] for setting in settings]
        joint = token_ids((p + a for p, row in zip(inputs.texts, wanted, strict=True) for a in row), tokenizer)
        rows = zip(inputs.texts, inputs.real(), wanted, strict=True)
        following = [[_following(p, own, a, joint[p + a], tokenizer) for a in row] for p, own, row in rows]
        return torch.tensor(following, dtype=torch.long).view(len(inputs), len(answers))


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids, int64 [n, pos], padded with 0 on the right, and the mask, bool [n, pos]."""
    values = pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return values, torch.arange(values.shape[1]) < lengths[:, None]


def _following(prompt: str, own: tuple[int, ...], answer: str, joint: tuple[int, ...], tokenizer: Any) -> int:
    """The one token that ``answer`` adds to a prompt's ``own`` tokens; raises DataError when it is not one."""
    if len(joint) == len(own) + 1 and joint[:-1] == own:
        if joint[-1] == tokenizer.unk_token_id and answer != tokenizer.unk_token:
            raise DataError(f"the answer {answer!r} after {prompt!r} is unknown to the tokenizer; use others")
        return joint[-1]
    show = shower(tokenizer)
    if joint[: len(own)] != own:
        raise DataError(
            f"the answer {answer!r} changes the tokens of its prompt {prompt!r}: {[show(t) for t in own]} become "
            f"{[show(t) for t in joint]}; end the prompt where a token ends, and begin the answer with its space"
        )
    raise DataError(
        f"the answer {answer!r} after {prompt!r} is the tokens {[show(t) for t in joint[len(own) :]]}; "
        "it must be exactly one: choose values whose answers are one token, and check the space before the answer"
    )
