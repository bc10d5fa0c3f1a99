"""Features and rest make up the vector, whatever the featurizer; each is what its definition says."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from causalmi.engine.featurizers.constants import constant
from causalmi.engine.featurizers.features import Features
from causalmi.engine.featurizers.featurizer import Featurizer, prove, tried
from causalmi.engine.featurizers.linear import Rotation
from causalmi.engine.featurizers.module_featurizer import ModuleFeaturizer
from causalmi.engine.featurizers.principal import PCA, StandardisedPCA
from causalmi.engine.featurizers.sparse import SparseAutoencoder
from causalmi.errors import DataError, SiteError, SpecError
from tests.featurizers import KINDS, Coupling, Kind, activations, modules, numbers, orthonormal, sparse

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)


@st.composite
def vectors(draw: st.DrawFn) -> Tensor:
    """Of any axes, around 0 or far from it."""
    shape = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(4, 9)))
    return draw(st.floats(1e-3, 1e3)) * numbers(*shape, seed=draw(st.integers(0, 99))) + draw(st.floats(-100, 100))


@every_kind
@settings(max_examples=20, deadline=None)
@given(x=vectors())
def test_nothing_is_lost(kind: Kind, x: Tensor) -> None:
    made, before = kind.make(x.shape[-1]), x.clone()
    featurizer = constant(made)
    features, rest = featurizer.encode(x)
    assert features.shape == (*x.shape[:-1], featurizer.size)
    torch.testing.assert_close(featurizer.decode(features, rest), x, rtol=1e-9, atol=1e-9)
    assert torch.equal(x, before)
    left = 0.0 if rest is None else float(rest.abs().max())
    assert not kind.whole or left <= 1e-12 * (1 + float(x.abs().max()))


@every_kind
@settings(max_examples=10, deadline=None)
@given(x=vectors(), seed=st.integers(0, 99))
def test_what_is_not_chosen_stays(kind: Kind, x: Tensor, seed: int) -> None:
    """Writing the features that were read changes nothing; in half precision up to its rounding."""
    made = kind.make(x.shape[-1])
    featurizer = constant(made)
    some = Features(featurizer, (1, 0))
    torch.testing.assert_close(some.write(x, some.read(x)), x, rtol=1e-9, atol=1e-9)
    values = numbers(*x.shape[:-1], 2, seed=seed)
    features, rest = featurizer.encode(x)
    features = features.clone()
    features[..., [1, 0]] = values
    torch.testing.assert_close(some.write(x, values), featurizer.decode(features, rest), rtol=1e-9, atol=1e-9)
    half = x.bfloat16()
    assert some.read(half).dtype == some.write(half, some.read(half)).dtype == torch.bfloat16
    off = (Features(featurizer).write(half, featurizer.encode(half.float())[0]).float() - half.float()).abs().max()
    assert float(off) <= torch.finfo(torch.bfloat16).eps * max(1.0, float(x.abs().max()))


class Lossy:
    """An autoencoder that keeps nothing of what it misses."""

    width, size, linear = 6, 3, True

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        return x[..., :3], None

    def decode(self, features: Tensor, rest: None) -> Tensor:
        return torch.cat([features, torch.zeros_like(features)], -1)


class Rare(Lossy):
    """One that gives back what is usual, and not what is large."""

    size = 6

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        return x.clamp(-20, 20), None

    def decode(self, features: Tensor, rest: None) -> Tensor:
        return features


def test_what_loses_information_is_refused() -> None:
    with pytest.raises(SiteError, match=r"Lossy\(6 -> 3\) does not give a vector back.* as the rest"):
        tried(Lossy(), torch.zeros(0))  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="does not give a vector back"):
        tried(Lossy(), torch.zeros(0))  # type: ignore[arg-type]  (again)
    tried(Rare(), torch.zeros(0))  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="does not give a vector back"):
        Features(Rare(), (0,)).write(100 * numbers(2, 6), numbers(2, 1))  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="off by nan"):
        prove(Rare(), torch.full((2, 6), float("nan")))  # type: ignore[arg-type]


class Crooked(Lossy):
    """Linear to encode, and exact; what it decodes depends on how features and rest fit together."""

    size = 1

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return x[..., :1], x

    def decode(self, features: Tensor, rest: Tensor) -> Tensor:  # type: ignore[override]
        return torch.where(features == rest[..., :1], rest, -rest)


def test_what_only_encodes_linearly_is_not_linear() -> None:
    with pytest.raises(SiteError, match="says that it is linear, and is not"):
        tried(Crooked(), torch.zeros(0))  # type: ignore[arg-type]


def test_a_featurizer_is_tried_once() -> None:
    calls = []

    class Counted(Rare):
        def encode(self, x: Tensor) -> tuple[Tensor, None]:
            calls.append(x.dtype)
            return x, None

    one = Counted()
    for _ in range(3):
        tried(one, torch.zeros(0))  # type: ignore[arg-type]
    first = len(calls)
    tried(one, torch.zeros(0, dtype=torch.float64))  # type: ignore[arg-type]
    assert set(calls[:first]) == {torch.float32} and set(calls[first:]) == {torch.float64}
    tried(Counted(), torch.zeros(0))  # type: ignore[arg-type]
    assert len(calls) == 3 * first


# --- linear ones ------------------------------------------------------------------------------------------------------


def test_a_rotation_turns() -> None:
    turn = orthonormal(5, 5)
    one, x = Rotation(turn), numbers(3, 5)
    torch.testing.assert_close(one.encode(x)[0], x @ turn)
    assert (
        one == Rotation(turn.numpy())
        and hash(one) == hash(Rotation(turn))
        and one != Rotation(orthonormal(5, 5, seed=1))
    )
    single = Rotation(turn.float())
    np.testing.assert_allclose(single.basis.columns.T @ single.basis.columns, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(single.basis.columns, turn, atol=1e-5)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (2 * torch.eye(3), "off orthonormal"),
        (torch.full((2, 2), float("nan")), "off orthonormal"),
        (torch.eye(3)[:2], r"shape \(2, 3\)"),
        (torch.ones(3), r"shape \(3,\)"),
    ],
)
def test_what_is_no_rotation(matrix: Tensor, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        Rotation(matrix)


def test_principal_components_are_those_of_the_covariance() -> None:
    x = activations(6)
    pca = PCA.of(x)
    values, columns = np.linalg.eigh(np.cov(x.numpy().T))
    assert pca.size == 5  # one number never varies
    found = (pca.basis.columns * columns[:, ::-1][:, :5]).sum(0)
    np.testing.assert_allclose(np.abs(found), 1, atol=1e-9)
    features = pca.encode(x)[0]
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(features.var(0), values[::-1][:5], rtol=1e-9)
    largest = pca.columns.gather(0, pca.columns.abs().argmax(0, keepdim=True))
    assert bool((largest > 0).all())
    assert torch.equal(PCA.of(x, dims=2).columns, pca.columns[:, :2])
    few = PCA.of(x[:3])
    assert few.size == 2  # three points lie in a plane


def test_standardised_components_are_of_standardised_numbers() -> None:
    x = activations(6)
    z = ((x - x.mean(0)) / x.std(0, correction=0))[:, 1:]
    found, wanted = StandardisedPCA.of(x).encode(x)[0], PCA.of(z).encode(z)[0]
    torch.testing.assert_close(found.abs(), wanted.abs(), rtol=1e-9, atol=1e-9)
    assert bool(
        StandardisedPCA.of(torch.cat([x, 1e6 + torch.zeros(len(x), 1)], 1))
        .encode(torch.randn(2, 7).double())[0]
        .isfinite()
        .all()
    )
    assert bool(StandardisedPCA.of(torch.cat([x, torch.full((len(x), 1), 0.1)], 1)).scale[-1] == 1)


@pytest.mark.parametrize("of", [PCA.of, StandardisedPCA.of])
def test_what_has_no_components(of: Any) -> None:
    for x, dims, says in (
        (torch.ones(4, 3), None, "vary in no direction"),
        (torch.ones(4), None, r"\[4\] is given"),
        (torch.ones(1, 4), None, r"\[1, 4\]"),
        ([[1.0]], None, "list"),
        (torch.full((3, 2), float("inf")), None, "NaN or infinite"),
        (numbers(9, 4), 5, "dims is 5; give a whole number from 1 to 4"),
        (numbers(9, 4), 0, "dims is 0"),
        (numbers(3, 4), 3, "from 1 to 2"),
    ):
        with pytest.raises(DataError, match=says):
            of(x, dims)


# --- dictionaries -----------------------------------------------------------------------------------------------------


def by_hand(s: SparseAutoencoder, x: Tensor) -> tuple[list[float], list[float]]:
    """Features of one vector and what they decode to, number by number."""
    shift = float(x.mean()) if s.norm == "layer_norm" else 0.0
    scale = {"none": 1.0, "layer_norm": float(x.std()), "constant_norm_rescale": float(x.norm()) / len(x) ** 0.5}[
        s.norm
    ]
    z = [(float(v) - shift) / (scale + (1e-5 if s.norm == "layer_norm" else 0)) for v in x]
    z = [v - float(b) for v, b in zip(z, s.b_dec, strict=True)] if s.centred else z
    raw = [sum(z[i] * float(s.W_enc[i, j]) for i in range(len(z))) for j in range(s.size)]
    if s.activation == "gated":
        pairs = zip(raw, s.r_mag, s.b_mag, s.b_gate, strict=True)  # type: ignore[arg-type]
        f = [max(0.0, a * float(r.exp()) + float(m)) if a + float(g) > 0 else 0.0 for a, r, m, g in pairs]
    else:
        raw = [a + float(b) for a, b in zip(raw, s.b_enc, strict=True)]  # type: ignore[arg-type]
        f = [max(0.0, a) for a in raw]
        if s.activation == "jumprelu":
            f = [v if a > float(t) else 0.0 for v, a, t in zip(f, raw, s.threshold, strict=True)]  # type: ignore[arg-type]
        if s.activation == "topk":
            least = sorted(f)[-s.k]  # type: ignore[operator]
            f = [v if v >= least else 0.0 for v in f]
    out = [sum(f[j] * float(s.W_dec[j, i]) for j in range(s.size)) + float(s.b_dec[i]) for i in range(s.width)]
    return f, [v * scale + shift for v in out]


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk", "gated"])
@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("centred", [False, True])
def test_a_dictionary_is_its_definition(activation: str, norm: str, centred: bool) -> None:
    one = sparse(5, activation, norm=norm, centred=centred)
    x = 2 * numbers(4, 5, seed=5) + 1
    features, rest = one.encode(x)
    for row in range(4):
        wanted, decoded = by_hand(one, x[row])
        np.testing.assert_allclose(features[row], wanted, atol=1e-12)
        np.testing.assert_allclose(rest[row, :5], x[row] - torch.tensor(decoded, dtype=torch.float64), atol=1e-12)
    assert 0 < int((features == 0).sum()) < features.numel()
    assert one.encode(torch.zeros(2, 5).double())[0].isfinite().all()


def test_what_is_no_dictionary() -> None:
    w = {"W_enc": numbers(3, 4), "W_dec": numbers(4, 3), "b_dec": numbers(3), "b_enc": numbers(4)}
    SparseAutoencoder(**w)
    for changes, says in (
        ({"W_dec": numbers(3, 4)}, r"W_dec has shape \[3, 4\], it must be \[4, 3\]"),
        ({"b_enc": None}, "b_enc must be tensors for the activation relu"),
        ({"activation": "jumprelu"}, "threshold must be tensors"),
        ({"activation": "swish"}, "activation is 'swish'"),
        ({"activation": "topk"}, "k is None"),
        ({"activation": "topk", "k": 5}, "k is 5, it must be a whole number from 1 to 4"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"b_dec": torch.full((3,), float("nan"))}, "b_dec has numbers that are NaN"),
        ({"W_enc": numbers(4)}, r"W_enc has shape \[4\]"),
        ({"W_enc": torch.ones(3, 4).int()}, "W_enc has numbers"),
    ):
        with pytest.raises(SpecError, match=says):
            SparseAutoencoder(**{**w, **changes})  # type: ignore[arg-type]


# --- modules ----------------------------------------------------------------------------------------------------------


def test_modules_are_used_as_they_are() -> None:
    """Dropout off, weights in the precision of the vectors, no gradient to them, and all as it was after."""
    encoder = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU())
    decoder = nn.Linear(8, 4)
    one = ModuleFeaturizer(encoder, decoder, width=4, size=8)
    before = [p.clone() for m in (encoder, decoder) for p in m.parameters()]
    x = numbers(3, 4).requires_grad_()
    features, rest = one.encode(x)
    wanted = (x @ before[0].double().T + before[1].double()).relu()
    torch.testing.assert_close(features, wanted)
    torch.testing.assert_close(rest, x - (wanted @ before[2].double().T + before[3].double()))
    one.decode(features * 2, rest).sum().backward()
    assert x.grad is not None and all(p.grad is None for m in (encoder, decoder) for p in m.parameters())
    assert all(torch.equal(p, q) for p, q in zip([*encoder.parameters(), *decoder.parameters()], before, strict=True))
    assert all(p.dtype == torch.float32 and p.requires_grad for p in encoder.parameters())
    assert encoder.training and encoder[1].training
    with torch.no_grad():
        encoder[0].weight.mul_(2)  # one that is changed all the same is not used as it was
    torch.testing.assert_close(one.encode(x)[0], (2 * x @ before[0].double().T + before[1].double()).relu())


def test_methods_and_functions() -> None:
    class Auto(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(numbers(4, 6).float())

        def encode(self, x: Tensor) -> Tensor:
            return x @ self.w

        def decode(self, f: Tensor) -> Tensor:
            return f @ self.w.T

    auto = Auto()
    one = ModuleFeaturizer(auto.encode, auto.decode, width=4, size=6, linear=True)
    tried(one, torch.zeros(0, dtype=torch.float64))
    one.encode(numbers(2, 4).requires_grad_())[0].sum().backward()
    assert auto.w.grad is None
    tried(ModuleFeaturizer(torch.tanh, torch.sin, width=4, size=4), torch.zeros(0))
    with pytest.raises(SiteError, match="the decoder is no function"):
        ModuleFeaturizer(torch.tanh, None, width=4, size=4)  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="fails on vectors"):
        tried(ModuleFeaturizer(nn.Linear(5, 4), torch.sin, width=4, size=4), torch.zeros(0))
    with pytest.raises(SiteError, match="says that it is linear"):
        tried(ModuleFeaturizer(torch.tanh, torch.sin, width=4, size=4, linear=True), torch.zeros(0))


def test_a_users_module_is_a_constant_and_let_go() -> None:
    module = Coupling(6)
    held = constant(module)  # type: ignore[arg-type]
    assert constant(module) is held and (held.width, held.size, held.linear) == (6, 6, False)  # type: ignore[arg-type]
    module.train()
    x = numbers(3, 6)
    features, rest = held.encode(x)
    torch.testing.assert_close(held.decode(features, rest), x)
    assert module.training and module.shift[2].training
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None


def test_weights_are_moved_once() -> None:
    one = sparse(5)
    assert one._kept.at(numbers(1))["W_enc"].data_ptr() == one.W_enc.data_ptr()  # float64 as given, no copy
    single = one._kept.at(torch.zeros(1))["W_enc"]
    assert single.dtype == torch.float32 and one._kept.at(torch.ones(2))["W_enc"] is single
    assert isinstance(modules(4), Featurizer) and isinstance(one, Featurizer)
