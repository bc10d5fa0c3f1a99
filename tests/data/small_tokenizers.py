"""Tokenizers small enough to build in a test, one of each kind that counts characters in its own way."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, GPT2TokenizerFast, PreTrainedTokenizerFast

SHARED = Path(__file__).parents[2].parent / "shared" / "models"
WORDS = "Mary John gave the book to apple Zoë 12 13 7 99 red blue is one two"
NAMES = ("Mary", "John", "Paul", "Anna")


@cache
def byte_level(*, bos: bool = False, trim: bool = False, prefix: bool = False) -> Any:
    """A tokenizer of the GPT-2 kind: any text, spaces inside tokens, frequent words one token."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=sorted(alphabet), special_tokens=special, show_progress=False
    )
    tok.train_from_iterator([f" {WORDS}", WORDS, " Mary John" * 5], trainer)
    steps = [processors.ByteLevel(trim_offsets=trim)]
    if bos:
        steps.append(processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tok.token_to_id("<s>"))]))
    tok.post_processor = processors.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>")


@cache
def words(*, bos: bool = False) -> Any:
    """A tokenizer that splits at spaces and punctuation and drops the spaces; other words are unknown."""
    signs = ["<unk>", "<s>", "+", "=", ",", ":", "!", *map(str, range(40)), *NAMES, *WORDS.split()]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(signs))}
    tok = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.Whitespace()
    if bos:
        tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    return PreTrainedTokenizerFast(tokenizer_object=tok, unk_token="<unk>", bos_token="<s>")


@cache
def metaspace() -> Any:
    """A tokenizer of the sentencepiece kind: letters, and a made-up space before the text."""
    vocab = {c: i for i, c in enumerate(["<unk>", "▁", *"0123456789+=abcdefghijklmnopqrstuvwxyzMJ", "▁M"])}
    tok = Tokenizer(models.BPE(vocab, [("▁", "M")], unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tok.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    return PreTrainedTokenizerFast(tokenizer_object=tok, unk_token="<unk>")


@cache
def gpt2() -> Any:
    if not (SHARED / "gpt2-tokenizer").exists():
        pytest.skip("GPT-2's vocabulary is not here")
    return GPT2TokenizerFast.from_pretrained(SHARED / "gpt2-tokenizer")


@cache
def stories() -> Any:
    if not (SHARED / "stories260K").exists():
        pytest.skip("stories260K is not here")
    return AutoTokenizer.from_pretrained(SHARED / "stories260K")
