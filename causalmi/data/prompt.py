"""Where in a prompt are its fields? A template that is filled in, tokenised, and whose fields are found as tokens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Any

from causalmi.data.inputs import Spans
from causalmi.data.tokens import Span, Tokens, tokenise
from causalmi.errors import DataError, SpecError

RESERVED = ("last", "before", "after")
FORMATTER = Formatter()


@dataclass(frozen=True)
class Rendered:
    """A filled-in template: its text, and for each field the characters ``[start, end)`` of its non-empty places."""

    text: str
    fields: Mapping[str, tuple[Span, ...]]

    def spans(self, tokens: Tokens) -> dict[str, tuple[int, ...]]:
        """For each field the indices of its tokens, in order: those that have a character of it."""
        return {name: tokens.overlapping(places) for name, places in self.fields.items()}


@dataclass(frozen=True)
class Prompt:
    """A template such as ``"{x}+{y}="``, with the fields of ``str.format`` and ``{{`` for a brace.

    A field is a variable's name, with ``[index]``, ``!conversion`` or ``:format`` if wanted, and names its tokens.
    Raises SpecError that lists every field that is none.

    >>> Prompt("{x}+{y}=").render({"x": 1, "y": 22}).fields
    {'x': ((0, 1),), 'y': ((2, 4),)}
    """

    template: str

    def __post_init__(self) -> None:
        if not isinstance(self.template, str):
            raise SpecError("prompt", [f"the template is a {type(self.template).__name__}, it must be a string"])
        try:
            problems = [p for _, field, spec, _ in FORMATTER.parse(self.template) for p in _problems(field, spec)]
        except ValueError as error:
            problems = [f"it does not parse ({error}); write {{{{ and }}}} for braces that are no field"]
        if problems:
            raise SpecError(f"the template {self.template!r}", problems)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, each once, in order."""
        return tuple(dict.fromkeys(name for _, name, _, _ in FORMATTER.parse(self.template) if name is not None))

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that the fields read."""
        return tuple(dict.fromkeys(_variable(name) for name in self.fields))

    @cached_property
    def _parts(self) -> tuple[tuple[str, str | None, str, str | None], ...]:
        return tuple((literal, name, spec or "", how) for literal, name, spec, how in FORMATTER.parse(self.template))

    def render(self, setting: Mapping[str, Any]) -> Rendered:
        """The template filled in from ``setting``; raises DataError for a field that cannot be."""
        text, fields = "", dict[str, tuple[Span, ...]]()
        for literal, name, spec, how in self._parts:
            text += literal
            if name is not None:
                start, text = len(text), text + self._fill(name, spec, how, setting)
                fields[name] = fields.get(name, ()) + (((start, len(text)),) if len(text) > start else ())
        return Rendered(text, fields)

    def _fill(self, name: str, spec: str, how: str | None, setting: Mapping[str, Any]) -> str:
        try:
            value, _ = FORMATTER.get_field(name, (), setting)
            return str(FORMATTER.format_field(FORMATTER.convert_field(value, how), spec))
        except (LookupError, AttributeError, ValueError, TypeError) as error:
            have = ", ".join(f"{k}={v!r}" for k, v in setting.items())
            reason = f"{type(error).__name__}: {error}"
            message = f"the field {{{name}}} of {self.template!r} cannot be filled in from {have} ({reason})"
            raise DataError(message) from None


def prompt_tokens(rendered: Sequence[Rendered], tokenizer: Any) -> tuple[list[Tokens], Spans]:
    """Each prompt's tokens, and by field name each prompt's token indices (none where it has no such field).

    Raises DataError for a prompt without tokens or with words unknown to the tokenizer, or a tokenizer without offsets.
    """
    tokens = tokenise([r.text for r in rendered], tokenizer)
    for r, t in zip(rendered, tokens, strict=True):
        if not t.ids:
            raise DataError(f"the prompt {r.text!r} has no tokens; write something before the answer")
        _refuse_unknown(r.text, t, tokenizer)
    found = [r.spans(t) for r, t in zip(rendered, tokens, strict=True)]
    names = dict.fromkeys(name for spans in found for name in spans)
    return tokens, {name: tuple(spans.get(name, ()) for spans in found) for name in names}


def _refuse_unknown(text: str, tokens: Tokens, tokenizer: Any) -> None:
    """Two values that are both unknown would be one to the network; the unknown token written out is not meant."""
    for token, (start, end) in zip(tokens.ids, tokens.chars, strict=True):
        word = text[start:end]
        if token == tokenizer.unk_token_id and word and word != tokenizer.unk_token:
            raise DataError(f"the prompt {text!r} has {word!r}, which is unknown to the tokenizer; use other words")


def _variable(name: str) -> str:
    return name.replace("[", ".").partition(".")[0]


def _problems(field: str | None, spec: str | None) -> Iterable[str]:
    if field is None:
        return
    if not _variable(field).isidentifier():
        yield f"the field {{{field}}} does not begin with the name of a variable"
    if field in RESERVED:
        yield f"the field {{{field}}} has the name of a position of its own; rename the variable"
    if "{" in (spec or ""):
        yield f"the field {{{field}:{spec}}} has a field in its format, write the format out"
