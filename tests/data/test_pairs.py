"""Pairs carry the causal model's counterfactuals, and no base is ever on both sides of a split."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.data.clusters import plain
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.task import Task
from causalmi.errors import DataError
from causalmi.spec.causal_model import CausalModel
from tests.data.small_tokenizers import NAMES, byte_level, words

ADDITION = CausalModel(
    inputs={"x": range(10), "y": range(10), "z": range(4)},
    mechanisms={
        "partial": lambda x, y: x + y,
        "carry": lambda z: z + 1,
        "total": lambda partial, carry: partial + carry,
    },
    output="total",
)
TASK = Task(ADDITION, prompt="{x}+{y}+{z}=", answer="{total}", name="sum")
CODED = Task(ADDITION, encode=lambda s: [s["x"], s["y"], s["z"]], label=lambda s: s["total"])
BOTH = ["partial", "carry"]


@pytest.fixture(scope="module")
def pairs() -> CounterfactualPairs:
    return TASK.pairs(300, vary=BOTH, seed=0).bind(words(bos=True))


def ints(labels: torch.Tensor) -> np.ndarray:
    """The numbers that answer tokens stand for."""
    return np.array([int(token) for token in words().convert_ids_to_tokens(labels.tolist())])


def columns(pairs: CounterfactualPairs, prefix: str) -> np.ndarray:
    return pairs.frame[[f"{prefix}.{name}" for name in "xyz"]].to_numpy().T


def test_labels_are_the_causal_models_by_hand(pairs: CounterfactualPairs) -> None:
    (x, y, z), (x1, y1, z1) = columns(pairs, "base"), columns(pairs, "source.partial")
    x2, y2, z2 = columns(pairs, "source.carry")
    assert (ints(pairs.base_labels) == x + y + z + 1).all()
    assert (ints(pairs.source_labels["partial"]) == x1 + y1 + z1 + 1).all()
    assert (ints(pairs.source_labels["carry"]) == x2 + y2 + z2 + 1).all()
    assert pairs.subsets == (("partial",), ("carry",), ("partial", "carry")) == tuple(pairs.expected)
    assert (ints(pairs.expected["partial",]) == x1 + y1 + z + 1).all()
    assert (ints(pairs.expected["carry",]) == x + y + z2 + 1).all()
    assert (ints(pairs.expected["partial", "carry"]) == x1 + y1 + z2 + 1).all()
    assert (pairs.changed["carry",].numpy() == (z != z2)).all()


def test_the_network_is_given_what_the_frame_says(pairs: CounterfactualPairs) -> None:
    for inputs, prefix in ((pairs.base, "base"), (pairs.sources["carry"], "source.carry")):
        texts = [f"{x}+{y}+{z}=" for x, y, z in columns(pairs, prefix).T]
        assert list(inputs.texts) == texts == pairs.frame[prefix].tolist()
    assert pairs.positions["z"] == ((5,),) * 300
    assert pairs.lengths.tolist() == [7] * 300


def test_the_frame_has_a_row_for_each_pair(pairs: CounterfactualPairs) -> None:
    frame = pairs.frame
    assert len(frame) == 300
    assert frame.columns.is_unique
    wanted = {"base", "source.partial", "base.x", "source.carry.z", "base_label", "source_label.carry"}
    wanted |= {"expected.partial+carry", "changed.partial", "length", "position.z"}
    assert wanted <= set(frame.columns)
    unbound = TASK.pairs(5, vary=BOTH, seed=0)
    assert list(unbound.frame.columns) == [c for c in frame.columns if c in set(unbound.frame.columns)]


def test_sources_of_one_variable_have_a_short_name(pairs: CounterfactualPairs) -> None:
    assert CODED.pairs(3, vary=["carry"], seed=0).source.values.shape == (3, 3)
    with pytest.raises(DataError, match=r"sources for partial, carry; use \.sources"):
        _ = pairs.source


def test_by_default_everything_between_input_and_output_varies() -> None:
    assert CODED.pairs(3, seed=0).vary == ("partial", "carry")
    assert CODED.pairs(3, vary="carry", seed=0).vary == ("carry",)


def test_before_binding_every_tensor_says_to_bind() -> None:
    unbound = TASK.pairs(3, seed=0)
    assert not unbound.bound
    assert len(unbound) == 3
    names = ["base", "sources", "source", "base_labels", "source_labels", "expected", "changed", "choices", "foil"]
    for name in [*names, "positions", "lengths"]:
        with pytest.raises(DataError, match=r"\.bind\(model\.tokenizer\)"):
            getattr(unbound, name)
    with pytest.raises(DataError, match="needs a tokenizer"):
        unbound.bind(None)
    bound = unbound.bind(words())
    assert bound.bind(None) is bound


def test_the_same_seed_gives_the_same_pairs() -> None:
    first, again, other = (CODED.pairs(50, seed=seed).frame for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_pairs_say_what_they_are(pairs: CounterfactualPairs) -> None:
    assert repr(pairs) == "CounterfactualPairs(300 pairs of 'sum', seed 0, vary partial, carry)"
    assert "not bound" in repr(TASK.pairs(3, seed=0))
    raw = CounterfactualPairs.from_tokens([[1]], [[2]])
    assert repr(raw) == "CounterfactualPairs(1 pairs from tokens, vary source)"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=2, max_size=30),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_a_split_never_leaks_a_base(rows: list[list[int]], fraction: float, seed: int) -> None:
    pairs = CounterfactualPairs.from_tokens(rows, torch.arange(2 * len(rows)).view(-1, 2))
    if len({tuple(row) for row in rows}) == 1:
        with pytest.raises(DataError, match="1 distinct base"):
            pairs.split(fraction, seed=seed)
        return
    first, second = pairs.split(fraction, seed=seed)
    assert not set(first.base.key()) & set(second.base.key())
    assert len(first) > 0
    assert len(second) > 0
    sources = first.source.values.tolist() + second.source.values.tolist()
    assert sorted(sources) == pairs.source.values.tolist()  # every pair once
    largest = int(np.bincount(pairs.clusters()).max())
    assert abs(len(first) - fraction * len(pairs)) <= largest


@settings(max_examples=15, deadline=None)
@given(fraction=st.floats(0.1, 0.9), seed=st.integers(0, 1000), n=st.integers(20, 80))
def test_splitting_and_binding_may_come_in_either_order(fraction: float, seed: int, n: int) -> None:
    unbound = TASK.pairs(n, seed=seed)
    before = [part.bind(words()) for part in unbound.split(fraction, seed=seed)]
    after = unbound.bind(words()).split(fraction, seed=seed)
    for a, b in zip(before, after, strict=True):
        assert a.base.texts == b.base.texts
        assert torch.equal(a.base_labels, b.base_labels)
    assert not set(before[0].base.texts) & set(before[1].base.texts)


def test_a_split_depends_on_its_seed_alone() -> None:
    pairs = CODED.pairs(100, seed=0)
    first, again, other = (pairs.split(0.5, seed=seed)[0].frame for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)
    assert len(first) in range(45, 56)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan"), "half"])
def test_a_fraction_is_between_0_and_1(fraction: Any) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        CODED.pairs(10, seed=0).split(fraction, seed=0)


def test_texts_that_a_tokenizer_may_not_tell_apart_stay_together() -> None:
    assert plain("Zoë  ran") == plain("zoe ran") == plain("Zoe\u0308 RAN")
    assert plain("a b") != plain("a c")


def test_clusters_number_the_bases(pairs: CounterfactualPairs) -> None:
    clusters = pairs.clusters()
    texts = list(pairs.base.texts)
    assert clusters.dtype == np.int64
    assert clusters[0] == 0
    assert len(set(clusters.tolist())) == len(set(texts)) < 300
    assert all(texts[i] == texts[int(np.flatnonzero(clusters == c)[0])] for i, c in enumerate(clusters))


@pytest.mark.parametrize(
    "index", [slice(10, 20), torch.arange(10, 20), torch.arange(300) // 10 == 1, np.arange(10, 20)]
)
def test_rows_select_everything(pairs: CounterfactualPairs, index: Any) -> None:
    part = pairs.rows(index)
    assert len(part) == 10
    assert part.frame.equals(pairs.frame.iloc[10:20].reset_index(drop=True))
    assert part.base.values.equal(pairs.base.values[10:20])


def test_keep_by_a_mask(pairs: CounterfactualPairs) -> None:
    mask = pairs.changed["partial",]
    kept = pairs.keep(mask)
    assert len(kept) == int(mask.sum())
    assert bool(kept.changed["partial",].all())
    assert len(pairs.keep(mask.numpy())) == len(kept)
    with pytest.raises(DataError, match="none of the 300 pairs is left"):
        pairs.keep(torch.zeros(300, dtype=torch.bool))
    with pytest.raises(DataError, match="one bool a pair"):
        pairs.keep(torch.ones(3, dtype=torch.bool))
    with pytest.raises(DataError, match="one bool a pair"):
        pairs.keep(torch.ones(300))


def test_from_tokens_takes_ints_or_a_row_for_each() -> None:
    base, source = torch.tensor([[1, 2], [3, 4], [1, 2]]), torch.tensor([[5, 6], [7, 8], [9, 9]])
    pairs = CounterfactualPairs.from_tokens(base, source, answer=7, foil=torch.tensor([1, 2, 3]), expected=[7, 8, 9])
    assert pairs.base_labels.tolist() == [7, 7, 7]
    assert pairs.foil is not None
    assert pairs.foil.tolist() == [1, 2, 3]
    assert pairs.source.values.equal(source)
    assert list(pairs.sources) == ["source"]
    assert pairs.changed["source",].tolist() == [False, True, True]
    assert pairs.clusters().tolist() == [0, 1, 0]
    assert pairs.frame["base"].tolist() == [(1, 2), (3, 4), (1, 2)]
    assert pairs.rows([2]).expected["source",].tolist() == [9]
    plain_pairs = CounterfactualPairs.from_tokens(base, source)
    assert plain_pairs.bind(None) is plain_pairs
    assert plain_pairs.expected == {} == plain_pairs.changed
    with pytest.raises(DataError, match="give answer="):
        _ = plain_pairs.base_labels


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ([[1, 2]], {}, "unequal lengths"),
        ([[1], [2]], {}, "unequal lengths"),
        ([[1, 2], [3, 4]], {"answer": [1, 2, 3]}, r"unequal lengths: answer has shape \[3\] for 2 pairs"),
        ([[1, 2], [3, 4]], {"foil": 0.5}, "foil is 0.5"),
        ([[1, 2], [3, 4]], {"expected": -1}, "expected is -1"),
        ([[1, 2], [3, 4]], {"mask": [[1, 1]]}, "mask has shape"),
    ],
)
def test_from_tokens_refuses_what_does_not_fit(source: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        CounterfactualPairs.from_tokens([[1, 2], [3, 4]], source, **options)


def test_left_padded_tokens_stay_as_they_are() -> None:
    pairs = CounterfactualPairs.from_tokens([[0, 1], [2, 3]], [[0, 4], [5, 6]], mask=[[0, 1], [1, 1]])
    assert pairs.lengths.tolist() == [1, 2]
    assert pairs.base.values.tolist() == [[0, 1], [2, 3]]


def test_names_of_several_tokens() -> None:
    model = CausalModel(
        {"a": [*NAMES, "Bartholomew"], "n": [1, 2]}, {"m": lambda a, n: 3 - n, "out": lambda m: m}, "out"
    )
    pairs = Task(model, prompt="{a}:{n}=", answer="{out}").pairs(40, seed=0).bind(byte_level())
    spans = pairs.positions["a"]
    sizes = {a: len(span) for a, span in zip(pairs.frame["base.a"], spans, strict=True)}
    assert sizes["Mary"] == 1 < sizes["Bartholomew"]
    assert all(span == tuple(range(len(span))) for span in spans)
    own = zip(pairs.base.real(), spans, pairs.frame["base.a"], strict=True)
    assert all(byte_level().decode(tokens[: len(span)]) == a for tokens, span, a in own)
