"""Which tokens does a text have, and which of its characters does each token stand for?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from causalmi.errors import DataError

Span = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """One text's token ids, and the characters ``[start, end)`` of the text that each stands for."""

    ids: tuple[int, ...]
    chars: tuple[Span, ...]

    def overlapping(self, spans: Sequence[Span]) -> tuple[int, ...]:
        """The indices of the tokens that share a character with one of ``spans``, none of which is empty.

        >>> Tokens((7, 8, 9), ((0, 2), (2, 5), (5, 6))).overlapping([(3, 4)])
        (1,)
        """
        return tuple(i for i, (start, end) in enumerate(self.chars) if any(start < b and a < end for a, b in spans))


def tokenise(texts: Sequence[str], tokenizer: Any) -> list[Tokens]:
    """Each text's tokens, with whatever the tokenizer itself adds, such as a token for the beginning.

    Raises DataError for a tokenizer that does not say which characters a token stands for.
    """
    _refuse_slow(tokenizer)
    show = shower(tokenizer)
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return []
    given = tokenizer(distinct, return_offsets_mapping=True, return_attention_mask=False)
    rows = zip(distinct, given["input_ids"], given["offset_mapping"], strict=True)
    known = {text: Tokens(tuple(ids), tuple(_chars(text, ids, offsets, show))) for text, ids, offsets in rows}
    return [known[text] for text in texts]


def token_ids(texts: Iterable[str], tokenizer: Any) -> dict[str, tuple[int, ...]]:
    """Each distinct text's token ids, with whatever the tokenizer itself adds."""
    distinct = list(dict.fromkeys(texts))
    ids = tokenizer(distinct, return_attention_mask=False)["input_ids"] if distinct else []
    return {text: tuple(row) for text, row in zip(distinct, ids, strict=True)}


def shower(tokenizer: Any) -> Callable[[int], str]:
    """A function that shows one token id as text."""
    return lru_cache(maxsize=None)(lambda token: str(tokenizer.decode([token], clean_up_tokenization_spaces=False)))


def _refuse_slow(tokenizer: Any) -> None:
    if tokenizer is None:
        raise DataError("this task has a prompt, which needs a tokenizer; give one, or a model that has one")
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            f"{type(tokenizer).__name__} does not say which characters a token stands for, so names of the prompt "
            "cannot be found in it; load a fast tokenizer of transformers, as AutoTokenizer.from_pretrained does"
        )


def _chars(text: str, ids: Sequence[int], offsets: Sequence[Span], show: Callable[[int], str]) -> Iterator[Span]:
    """The offsets made true: a token's own spaces belong to it, and a token made up by the tokenizer has no characters.

    Byte-level tokenizers may trim the space off " Mary"'s offsets though it is in the token; those of the sentencepiece
    kind may put a bare space before the text and give it the offsets of the text's first character.
    """
    end_before = 0
    for i, (start, end) in enumerate(offsets):
        if text[start:end].strip() and not show(ids[i]).strip():
            yield start, start
            continue
        if end_before < start and not text[end_before:start].strip() and show(ids[i])[:1].isspace():
            yield end_before, end
        else:
            yield start, end
        end_before = max(end_before, end)
