"""A task asks what the causal model says, and refuses answers that the network could not give as one token."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from causalmi.data.positions import resolve
from causalmi.data.task import Task
from causalmi.errors import DataError, PositionError, SpecError
from causalmi.spec.causal_model import CausalModel
from tests.data.small_tokenizers import NAMES, byte_level, gpt2, words

Setting = Mapping[str, Any]


@pytest.fixture
def addition() -> CausalModel:
    return CausalModel(
        inputs={"x": range(10), "y": range(10), "z": range(10)},
        mechanisms={"partial": lambda x, y: x + y, "total": lambda partial, z: partial + z},
        output="total",
    )


@pytest.fixture
def names() -> CausalModel:
    return CausalModel({"a": NAMES, "b": NAMES}, {"who": lambda a, b: b, "out": lambda who: who}, "out")


def digits(setting: Setting) -> list[int]:
    return [setting["x"], setting["y"], setting["z"]]


def total(setting: Setting) -> int:
    return int(setting["total"])


def whole(model: CausalModel, **columns: list[Any]) -> pd.DataFrame:
    return model.run_columns(pd.DataFrame(columns))


def test_prompt_answer_and_positions(addition: CausalModel) -> None:
    task, tok = Task(addition, prompt="{x}+{y}+{z}=", answer="{total}"), words(bos=True)
    settings = whole(addition, x=[1, 9], y=[2, 9], z=[3, 9])
    inputs = task.encode(settings, tok)
    assert inputs.texts == ("1+2+3=", "9+9+9=")
    assert resolve("before:z", inputs).tolist() == [[4], [4]]  # type: ignore[union-attr]
    assert tok.convert_ids_to_tokens(task.labels(settings, inputs, tok).tolist()) == ["6", "27"]
    assert inputs.examples[1] == {"x": 9, "y": 9, "z": 9, "partial": 18, "total": 27}
    assert inputs.tokens_text is not None
    assert inputs.tokens_text(int(inputs.values[0, -1])) == "="
    assert task.choice_ids(settings, inputs, tok) is None


def test_prompts_of_unequal_length_are_padded_on_the_right(addition: CausalModel) -> None:
    task, tok = Task(addition, prompt="{x} {partial}=", answer="{total}"), byte_level()
    inputs = task.encode(whole(addition, x=[1, 4, 9], y=[1, 8, 9], z=[0, 0, 0]), tok)
    alone = [tuple(tok(text)["input_ids"]) for text in inputs.texts]
    assert inputs.real() == alone
    assert inputs.starts.tolist() == [0, 0, 0]
    assert len({len(ids) for ids in alone}) > 1
    assert resolve("last", inputs).tolist() == [[len(ids) - 1] for ids in alone]  # type: ignore[union-attr]


def test_a_callable_gives_each_setting_its_template(names: CausalModel) -> None:
    def prompt(setting: Setting) -> str:
        return "{b} to" if setting["a"] == "Mary" else "to {b} , {a}"

    task, tok = Task(names, prompt=prompt, answer="{out}"), words()
    inputs = task.encode(whole(names, a=["Mary", "John"], b=["Paul", "Anna"]), tok)
    assert inputs.texts == ("Paul to", "to Anna , John")
    assert resolve("b", inputs).tolist() == [[0], [1]]  # type: ignore[union-attr]
    with pytest.raises(PositionError, match=r"'a' has no token there"):
        resolve("a", inputs)
    with pytest.raises(SpecError, match="name of a variable"):
        Task(names, prompt=lambda s: "{}", answer="{out}").pairs(2, seed=0).bind(tok)


def test_counterfactual_answers_follow_the_bases_prompt(addition: CausalModel) -> None:
    task, tok = Task(addition, prompt="{x}+{y}+{z}=", answer="{total}"), words()
    base = whole(addition, x=[1], y=[2], z=[3])
    inputs = task.encode(base, tok)
    other = addition.interchange_columns(base, {"partial": whole(addition, x=[4], y=[4], z=[0])})
    assert tok.convert_ids_to_tokens(task.labels(other, inputs, tok).tolist()) == ["11"]


@pytest.mark.parametrize(
    ("make", "prompt", "answer", "says"),
    [
        (byte_level, "{a} gave", "{b}", r"is the tokens \[.*must be exactly one"),
        (byte_level, "{a} gave", " Przemysław", r"' Przemysław' after .* must be exactly one"),
        (byte_level, "{a} gave ", "Mary", "changes the tokens of its prompt.*begin the answer with its space"),
        (words, "{a} to", "", r"is the tokens \[\]"),
        (words, "{a} to", " Wanda", "' Wanda'.*unknown to the tokenizer"),
    ],
)
def test_answers_that_are_not_one_token(
    names: CausalModel, make: Callable[[], Any], prompt: str, answer: str, says: str
) -> None:
    pairs = Task(names, prompt=prompt, answer=answer).pairs(4, seed=0)
    with pytest.raises(DataError, match=says):
        pairs.bind(make())


def test_gpt2_answers(addition: CausalModel, names: CausalModel) -> None:
    tok = gpt2()
    task = Task(addition, prompt="{x}+{y}+{z}=", answer="{total}")
    settings = whole(addition, x=[1], y=[2], z=[3])
    assert tok.decode(task.labels(settings, task.encode(settings, tok), tok)) == "6"
    settings = whole(names, a=["Mary"], b=["John"])
    for prompt, answer in (("{a} met", " {b}"), ("{a} met {b}.", " {a}")):
        task = Task(names, prompt=prompt, answer=answer)
        assert tok.decode(task.labels(settings, task.encode(settings, tok), tok)).strip() in ("John", "Mary")
    with pytest.raises(DataError, match="begin the answer with its space"):
        Task(names, prompt="{a} met ", answer="{b}").pairs(2, seed=0).bind(tok)


def test_choices_hold_every_answer(names: CausalModel) -> None:
    tok = words()
    task = Task(names, prompt="{a} , {b} to", answer=" {out}", choices=[" {a}", " {b}"])
    pairs = task.pairs(50, seed=0).bind(tok)
    assert pairs.choices is not None
    assert pairs.choices.shape == (50, 4)
    for labels in (pairs.base_labels, pairs.source_labels["who"], pairs.expected["who",]):
        assert bool((pairs.choices == labels[:, None]).any(1).all())
    everyone = Task(names, prompt="{a} , {b} to", answer=" {out}", choices=[f" {n}" for n in NAMES])
    fixed = everyone.pairs(5, seed=0).bind(tok)
    assert fixed.choices is not None
    assert fixed.choices.tolist() == [tok.convert_tokens_to_ids(list(NAMES))] * 5
    with pytest.raises(DataError, match=r"of the base in pair .* is not among the choices"):
        Task(names, prompt="{a} , {b} to", answer=" {out}", choices=[" {a}", " Mary"]).pairs(50, seed=0).bind(tok)


def test_encode_and_label(addition: CausalModel) -> None:
    task = Task(addition, encode=digits, label=total, positions={"z": 2, "xy": lambda s: [0, 1], "end": -1})
    pairs = task.pairs(20, seed=0)
    assert pairs.bound
    assert pairs.base.values.dtype == torch.int64
    assert pairs.base_labels.tolist() == pairs.base.values.sum(1).tolist()
    assert resolve(("xy:all", "z"), pairs.base).tolist() == [[0, 1, 2]] * 20  # type: ignore[union-attr]
    assert pairs.positions["end"] == ((2,),) * 20
    assert pairs.choices is None


def test_encoded_tokens_of_unequal_lengths_are_padded(addition: CausalModel) -> None:
    task = Task(addition, encode=lambda s: [1] * (1 + s["x"]), label=total, positions={"end": -1})
    inputs = task.encode(whole(addition, x=[0, 2], y=[0, 0], z=[0, 0]))
    assert inputs.values.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert inputs.lengths.tolist() == [1, 3]
    assert inputs.spans["end"] == ((0,), (2,))


def test_encoded_numbers(addition: CausalModel) -> None:
    settings = whole(addition, x=[0, 2], y=[0, 0], z=[1, 0])
    flat = Task(addition, encode=lambda s: [s["x"] / 2, 1], label=total).encode(settings)
    assert flat.values.tolist() == [[0.0, 1.0], [1.0, 1.0]]
    assert flat.mask is None
    assert flat.values.dtype == torch.float64
    ones = Task(addition, encode=lambda s: np.ones((3, 2), np.float32), label=total, positions={"y": 1})
    rows = ones.encode(settings)
    assert rows.values.shape == (2, 3, 2)
    assert rows.values.dtype == torch.float32
    assert resolve("y", rows).tolist() == [[1], [1]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"encode": lambda s: "abc"}, DataError, "encode gives 'abc' for"),
        ({"encode": lambda s: [[1], [2, 3]]}, DataError, "encode gives"),
        ({"encode": lambda s: []}, DataError, "encode gives"),
        ({"encode": lambda s: [-1]}, DataError, "from 0"),
        ({"encode": lambda s: [[1, 2]]}, DataError, "list of ints"),
        ({"encode": lambda s: [0.5] * (1 + s["x"])}, DataError, "unequal lengths"),
        ({"encode": lambda s: [float("inf")]}, DataError, "finite"),
        ({"label": lambda s: 0.5}, DataError, "label gives 0.5"),
        ({"label": lambda s: -1}, DataError, "label gives -1"),
        ({"positions": {"p": 3}}, PositionError, "'p' is 3 .* has 3 positions"),
        ({"positions": {"p": lambda s: "x"}}, PositionError, "give ints from -3 to 2"),
    ],
)
def test_what_encode_and_label_may_not_give(
    addition: CausalModel, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Task(addition, **{"encode": digits, "label": total, **options}).pairs(10, seed=0)


def test_labels_may_be_bools(addition: CausalModel) -> None:
    task = Task(addition, encode=digits, label=lambda s: np.bool_(s["total"] > 13))
    assert set(task.pairs(40, seed=0).base_labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "given nothing; give prompt= and answer="),
        ({"prompt": "{x}"}, "given prompt; give"),
        ({"prompt": "{x}", "answer": "1", "encode": digits}, "given prompt, answer, encode"),
        ({"encode": digits, "label": total, "choices": ["1"]}, "given choices, encode, label"),
        ({"prompt": "{x}", "answer": "1", "positions": {"p": 0}}, "given prompt, answer, positions"),
        ({"prompt": "{w}", "answer": "1"}, "'{w}' names 'w'; the causal model has x, y, z, partial, total"),
        ({"prompt": "{x", "answer": "1"}, "does not parse"),
        ({"prompt": "{x}", "answer": "1", "choices": []}, "choices is empty"),
        ({"prompt": "{x}", "answer": "1", "choices": ["{w}"]}, "names 'w'"),
        ({"encode": 3, "label": total}, "encode is 3, it must be a function"),
        ({"encode": digits, "label": total, "positions": {"last": 0}}, "'last' must be a plain name"),
        ({"encode": digits, "label": total, "positions": {"p": "x"}}, "'p' is 'x', it must be an int"),
        ({"encode": digits, "label": total, "readout": "x:all"}, "readout is 'x:all'"),
        ({"encode": digits, "label": total, "readout": (0,)}, "readout is"),
        ({"encode": digits, "label": total, "balance": "even"}, "balance is 'even'"),
    ],
)
def test_a_task_is_valid_once_it_exists(addition: CausalModel, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Task(addition, **options)


def test_all_problems_are_listed_together(addition: CausalModel) -> None:
    with pytest.raises(SpecError) as caught:
        Task(addition, prompt="{w}", answer="{v}", readout=None, balance="even", name="sum")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 4
    assert "task 'sum'" in str(caught.value)
    with pytest.raises(SpecError, match=r"it must be a causalmi\.CausalModel"):
        Task("addition", prompt="{x}", answer="1")  # type: ignore[arg-type]


def test_a_task_is_frozen_and_shows_itself(addition: CausalModel) -> None:
    task = Task(addition, prompt="{x}=", answer="{total}", name="sum")
    assert repr(task) == "Task('sum', prompt='{x}=', answer='{total}')"
    assert repr(Task(addition, encode=digits, label=total)) == "Task('task', encode=digits, label=total)"
    assert task.model is addition
    assert hash(task)
    with pytest.raises(AttributeError):
        task.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("vary", [["w"], [], ["partial", "partial"]])
def test_vary_names_variables_once(addition: CausalModel, vary: list[str]) -> None:
    task = Task(addition, prompt="{x}=", answer="{total}")
    with pytest.raises(DataError, match="each once: x, y, z, partial, total"):
        task.pairs(4, vary=vary, seed=0)


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_n_is_a_number_of_pairs(addition: CausalModel, n: Any) -> None:
    with pytest.raises(DataError, match="whole number of pairs"):
        Task(addition, prompt="{x}=", answer="{total}").pairs(n, seed=0)
