"""A field's tokens are those that hold one of its characters, whatever the tokenizer does with spaces and bytes."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.data.prompt import Prompt, prompt_tokens
from causalmi.errors import DataError, SpecError
from tests.data.small_tokenizers import byte_level, gpt2, metaspace, stories, words


def found(template: str, tokenizer: Any, **setting: Any) -> dict[str, list[str]]:
    """The text of each field's tokens."""
    (tokens,), spans = prompt_tokens([Prompt(template).render(setting)], tokenizer)
    return {name: [tokenizer.decode([tokens.ids[i]]) for i in span] for name, (span,) in spans.items()}


def indices(template: str, tokenizer: Any, **setting: Any) -> dict[str, tuple[int, ...]]:
    _, spans = prompt_tokens([Prompt(template).render(setting)], tokenizer)
    return {name: span for name, (span,) in spans.items()}


def test_fields_render_as_str_format_does() -> None:
    template = "{{{x}}} {x:>3}{name!r} {pair[0]} {x}"
    setting = {"x": 5, "name": "é", "pair": ("a", "b")}
    assert Prompt(template).render(setting).text == template.format(**setting)
    assert Prompt(template).fields == ("x", "name", "pair[0]")
    assert Prompt(template).variables == ("x", "name", "pair")


@pytest.mark.parametrize(
    ("template", "says"),
    [("{}", "name of a variable"), ("{0}", "name of a variable"), ("{last}", "rename"), ("{x:{w}}", "format")],
)
def test_templates_that_are_none(template: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Prompt(template)


def test_unbalanced_braces_say_how_to_write_one() -> None:
    with pytest.raises(SpecError, match=r"\{\{ and \}\}"):
        Prompt("{x")
    with pytest.raises(SpecError, match="string"):
        Prompt(3)  # type: ignore[arg-type]


def test_all_bad_fields_are_listed_together() -> None:
    with pytest.raises(SpecError) as caught:
        Prompt("{0} {last}")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(("template", "setting"), [("{y}", {"x": 1}), ("{x:d}", {"x": "a"}), ("{x[2]}", {"x": (1, 2)})])
def test_a_field_that_cannot_be_filled_in_says_which(template: str, setting: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="cannot be filled in from x="):
        Prompt(template).render(setting)


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("bos", [False, True])
def test_byte_level_by_hand(bos: bool, trim: bool) -> None:
    tok = byte_level(bos=bos, trim=trim)
    assert found("{a} gave the book to {b}", tok, a="Mary", b="John") == {"a": ["Mary"], "b": [" John"]}
    assert found("gave{a}", tok, a=" Mary") == {"a": [" Mary"]}
    assert found("{a}{b}=", tok, a="1", b="+") == {"a": ["1"], "b": ["+"]}
    assert found("{a}{e}{b}", tok, a="Mary", e="", b=" John") == {"a": ["Mary"], "e": [], "b": [" John"]}
    shift = int(bos)
    assert indices("{x}+{x}=", tok, x=7) == {"x": (shift, shift + 2)}


@pytest.mark.parametrize("trim", [False, True])
def test_spaces_alone(trim: bool) -> None:
    tok = byte_level(trim=trim)
    assert found("{s}Mary", tok, s=" ") == {"s": [" Mary"]}
    assert found("Mary{s}", tok, s=" ") == {"s": [" "]}
    assert found("Mary {s}John", tok, s=" ") == {"s": [" John"]}
    assert found("Mary{s} John", tok, s=" ") == {"s": [" "]}


def test_a_prefix_space_is_no_token_of_its_own() -> None:
    tok = byte_level(prefix=True, trim=True)
    assert found("{a} {b}", tok, a="Mary", b="John") == {"a": [" Mary"], "b": [" John"]}


@pytest.mark.parametrize("bos", [False, True])
def test_words_by_hand(bos: bool) -> None:
    tok, shift = words(bos=bos), int(bos)
    assert indices("{x}+{y}+{z}=", tok, x=1, y=20, z=3) == {"x": (shift,), "y": (shift + 2,), "z": (shift + 4,)}
    assert found("{a}  gave {b}", tok, a="Mary John", b="book") == {"a": ["Mary", "John"], "b": ["book"]}
    assert found("Mary{s}John", tok, s=" ") == {"s": []}


def test_a_made_up_space_before_the_text_is_in_no_field() -> None:
    tok = metaspace()
    assert indices("{x}+{y}=", tok, x=12, y=3) == {"x": (1, 2), "y": (4,)}
    assert indices("{x} ab", tok, x="M") == {"x": (0,)}
    assert indices("a {x}", tok, x="b") == {"x": (3,)}  # ▁ a ▁ b


def test_gpt2_by_hand() -> None:
    tok = gpt2()
    assert found("{a} and{b} ran", tok, a="Mary", b=" Tom") == {"a": ["Mary"], "b": [" Tom"]}
    assert found("{a} met {b}", tok, a="Przemysław", b="Mary")["b"] == [" Mary"]
    assert "".join(found("I met {a}!", tok, a="Wolfeschlegel")["a"]) == " Wolfeschlegel"
    assert len(found("{a}!", tok, a="😀")["a"]) == 2


def test_stories_by_hand() -> None:
    tok = stories()
    assert indices("{x}+{y}=", tok, x=1, y=2) == {"x": (2,), "y": (4,)}  # <s> ▁ 1 + 2 =
    assert indices("{x} ran", tok, x="Mary")["x"] == (1, 2, 3)  # <s> ▁M ar y


TEXT = st.text(st.sampled_from("aM é1\n+ß😀日Maryohn "), max_size=8)
BYTES: list[tuple[str, Callable[[], Any]]] = [
    ("plain", byte_level),
    ("trimmed", lambda: byte_level(trim=True)),
    ("bos", lambda: byte_level(bos=True, trim=True)),
    ("gpt2", gpt2),
]


@pytest.mark.parametrize("make", [make for _, make in BYTES], ids=[name for name, _ in BYTES])
@settings(max_examples=150, deadline=None)
@given(literals=st.lists(TEXT, min_size=3, max_size=3), x=TEXT, y=TEXT)
def test_spans_are_the_tokens_that_hold_bytes_of_the_field(
    make: Callable[[], Any], literals: list[str], x: str, y: str
) -> None:
    tok = make()
    rendered = Prompt(f"<{literals[0]}{{x}}{literals[1]}{{y}}{{x}}{literals[2]}").render({"x": x, "y": y})
    (tokens,), spans = prompt_tokens([rendered], tok)
    pieces = [("", f"<{literals[0]}"), ("x", x), ("", literals[1]), ("y", y), ("x", x), ("", literals[2])]
    owners = [name for name, text in pieces for _ in text.encode()]
    holding: dict[str, set[int]] = {"x": set(), "y": set()}
    at = 0
    for i, token in enumerate(tokens.ids):
        size = 0 if token == tok.bos_token_id else len(tok.convert_ids_to_tokens(token))  # a character for each byte
        for owner in owners[at : at + size]:
            holding.setdefault(owner, set()).add(i)
        at += size
    assert at == len(owners)
    assert {name: set(span) for name, (span,) in spans.items()} == {name: holding[name] for name in ("x", "y")}


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(DataError, match="Slow does not say which characters"):
        prompt_tokens([Prompt("a").render({})], Slow())
    with pytest.raises(DataError, match="needs a tokenizer"):
        prompt_tokens([Prompt("a").render({})], None)


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(DataError, match="no tokens"):
        prompt_tokens([Prompt("{x}").render({"x": ""})], words())


def test_words_unknown_to_the_tokenizer_are_refused() -> None:
    for a in ("Wanda", "Wolfgang"):
        with pytest.raises(DataError, match=f"has '{a}', which is unknown to the tokenizer"):
            found("{a} gave", words(bos=True), a=a)
    assert found("{a} gave", gpt2(), a="<|endoftext|>") == {"a": ["<|endoftext|>"]}
