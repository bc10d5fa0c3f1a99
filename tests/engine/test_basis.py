"""Reads and edits of a subspace do what a hook written by hand does, whole and resumed, and leave the rest alone."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import causalmi as cm
from causalmi import Inputs, site
from causalmi.engine.projection import Fixed
from causalmi.errors import DataError, PositionError, SiteError
from causalmi.spec.basis import Basis
from causalmi.spec.site import Site
from tests.contract.test_invariants import count_hooks
from tests.contract.test_resume import (  # noqa: F401  (the fixture is used by its name)
    RESUMED,
    _softmax_in_float64,
    close,
    loaded,
    padded,
    real,
)
from tests.networks import Network, draw_tokens, gpt2, llama, mlp

SEVERAL = ("gpt2", "llama", "reference", "classifier", "gptj", "opt", "qwen3", "gemma3")
several = pytest.mark.parametrize("network", [n for n in RESUMED if n.name in SEVERAL], ids=lambda n: n.name)
TOKENS = draw_tokens(3, 1)
RAGGED = Inputs.of(TOKENS, torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 1, 1, 1]]).bool())


@cache
def model_of(make: Callable[[], nn.Module]) -> cm.Model:
    return cm.load_model(make().eval())


def directions(dims: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((dims, width))


def apart(sizes: tuple[int, ...], width: int, seed: int = 0) -> list[Basis]:
    """Bases of these sizes, orthogonal to each other."""
    columns = Basis.of(directions(sum(sizes), width, seed)).columns
    ends = np.cumsum(sizes)
    return [Basis(columns[:, end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def along(model: cm.Model, place: Site, inputs: Any, dims: int, seed: int = 0) -> Site:
    width = model.run(inputs, read=[place])[place].shape[-1]
    return place.along(directions(min(dims, width), width, seed))


def value_at(model: cm.Model, place: Site, inputs: Any, seed: int = 0) -> Tensor:
    return numbers(*model.run(inputs, read=[place])[place].shape, seed=seed)


# --- the projection alone ---------------------------------------------------------------------------------------------


@st.composite
def vectors(draw: st.DrawFn) -> tuple[Basis, Tensor, Tensor]:
    """A basis, vectors, and coordinates for them."""
    width = draw(st.integers(1, 8))
    dims, seed = draw(st.integers(1, width)), draw(st.integers(0, 2**32))
    lead = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    return (
        Basis.of(directions(dims, width, seed)),
        numbers(*lead, width, seed=seed),
        numbers(*lead, dims, seed=seed + 1),
    )


@settings(deadline=None)
@given(vectors())
def test_the_algebra_of_a_projection(drawn: tuple[Basis, Tensor, Tensor]) -> None:
    basis, x, c = drawn
    along, before = Fixed(basis), x.clone()
    new = along.write(x, c)
    close(along.read(new), c, "what is read after a write is what was written")
    close(along.write(new, c), new, "a second write changes nothing")
    close(along.write(x, along.read(x)), x, "writing back what was read changes nothing")
    close(along.write(x, 0 * c), x - along.read(x) @ torch.tensor(basis.columns).T, "zero is a projection")
    assert torch.equal(x, before)
    if basis.dims < basis.width:
        rest = Fixed(basis.complement())
        close(rest.read(new), rest.read(x), "the complement is untouched")
        close(rest.write(along.write(0 * x, along.read(x)), rest.read(x)), x, "the two make up the whole")


@settings(deadline=None)
@given(vectors(), st.integers(0, 2**32))
def test_orthogonal_subspaces_are_edited_as_their_sum(drawn: tuple[Basis, Tensor, Tensor], seed: int) -> None:
    basis, x, c = drawn
    if basis.dims < 2:
        return
    first, second = Basis(basis.columns[:, :1]), Basis(basis.columns[:, 1:])
    together = Fixed(basis).write(x, c)
    close(Fixed(second).write(Fixed(first).write(x, c[..., :1]), c[..., 1:]), together)
    close(Fixed(first).write(Fixed(second).write(x, c[..., 1:]), c[..., :1]), together)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    basis = Basis.of(directions(3, 64))
    x, c, columns = numbers(5, 64).to(dtype), numbers(5, 3, seed=1).to(dtype), torch.tensor(basis.columns)
    exact = x.double() + (c.double() - x.double() @ columns) @ columns.T
    found, read = Fixed(basis).write(x, c), Fixed(basis).read(x)
    assert found.dtype == read.dtype == dtype
    one_rounding = torch.finfo(dtype).eps * (0.51 if dtype != torch.float32 else 20)
    assert bool(((found.double() - exact).abs() <= one_rounding * exact.abs() + 1e-6).all())
    assert bool(
        ((read.double() - x.double() @ columns).abs() <= one_rounding * (x.double() @ columns).abs() + 1e-6).all()
    )


# --- against a hook written by hand -----------------------------------------------------------------------------------

PLACES = {  # (model, kind): path of the module in layer 1, whether what enters it is meant, and its heads
    (gpt2, "resid_post"): ("transformer.h.1", False, None),
    (gpt2, "attn_out"): ("transformer.h.1.attn.c_proj", False, None),
    (gpt2, "z"): ("transformer.h.1.attn.c_proj", True, 4),
    (gpt2, "mlp_hidden"): ("transformer.h.1.mlp.c_proj", True, None),
    (llama, "resid_post"): ("model.layers.1", False, None),
    (llama, "z"): ("model.layers.1.self_attn.o_proj", True, 4),
    (llama, "k"): ("model.layers.1.self_attn.k_proj", False, 2),
    (llama, "mlp_out"): ("model.layers.1.mlp", False, None),
}


def turned(x: Tensor, columns: Tensor, c: Tensor) -> Tensor:
    """One vector with other coordinates, direction by direction."""
    for direction, wanted in zip(columns.T, c, strict=True):
        x = x - (x * direction).sum() * direction + wanted * direction
    return x


def by_hand(h: Tensor, place: Site, positions: list[list[int]], heads: int | None, c: Tensor) -> Tensor:
    """What passes, one vector at a time; c is [n, positions, heads, dims]."""
    assert place.basis is not None
    columns, new = torch.tensor(place.basis.columns), h.clone()
    size = h.shape[-1] // (heads or 1)
    chosen = (place.head,) if isinstance(place.head, int) else place.head or tuple(range(heads or 1))
    for row, at in enumerate(positions):
        for i, position in enumerate(at):
            for j, head in enumerate(chosen):
                entries = [head * size + n for n in place.neurons or range(size)]
                new[row, position, entries] = turned(h[row, position, entries], columns, c[row, i, j])
    return new


def hooked_run(model: cm.Model, path: str, enters: bool, change: Callable[[Tensor], Tensor]) -> Tensor:
    module = model.module.get_submodule(path)
    if enters:
        handle = module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    else:

        def after(_: nn.Module, args: Any, out: Any) -> Any:
            return change(out) if isinstance(out, Tensor) else (change(out[0]), *out[1:])

        handle = module.register_forward_hook(after)
    try:
        return model.run(RAGGED).logits
    finally:
        handle.remove()


@pytest.mark.parametrize(("make", "kind"), PLACES, ids=lambda x: getattr(x, "__name__", x))
@pytest.mark.parametrize("at", [-1, (0, -2)], ids=str)
@pytest.mark.parametrize("dims", [1, 3])
def test_an_edit_is_what_a_hook_does(make: Any, kind: str, at: Any, dims: int) -> None:
    model, (path, enters, heads) = model_of(make), PLACES[make, kind]
    choices: list[dict[str, Any]] = [{}, {"neurons": (3, 0, 4, 1)}]
    choices += [{"head": 1}, {"head": (1, 0), "neurons": (2, 0, 5)}] if heads else []
    for how in choices:
        place = along(model, Site(kind, 1, at=at, **how), RAGGED, dims)
        value = value_at(model, place, RAGGED, seed=2)
        assert value.shape[-1] == dims
        inside = value if not isinstance(at, int) else value[:, None]
        inside = inside if heads and not isinstance(place.head, int) else inside[:, :, None]
        starts, some = [0, 1, 2], (at,) if isinstance(at, int) else at
        positions = [[p + (5 if p < 0 else start) for p in some] for start in starts]
        change = partial(by_hand, place=place, positions=positions, heads=heads, c=inside)
        wanted = hooked_run(model, path, enters, change)
        found = model.run(RAGGED, edits={place: value}, read=[place])
        close(real(found.logits, RAGGED), real(wanted, RAGGED), place)
        close(found[place], value, "a read sees what is there after an edit")
        resumed = model.record(RAGGED, at="last").run({place: value})
        close(resumed.logits, wanted[:, -1], place)


def test_gradients_are_those_of_a_hook() -> None:
    """Through the value, and through what was there, which an earlier edit changed."""
    model, early = model_of(llama), site.resid_post(0, at=-1)
    place = along(model, site.resid_post(1, at=-1), RAGGED, 3)
    values = [value_at(model, s, RAGGED, seed=i).requires_grad_() for i, s in enumerate((early, place))]
    change = partial(by_hand, place=place, positions=[[4]] * 3, heads=None, c=values[1][:, None, None])
    handle = model.module.model.layers[1].register_forward_hook(lambda _, args, out: change(out))
    wanted = torch.autograd.grad(model.run(RAGGED, edits={early: values[0]}).logits[:, -1].square().sum(), values)
    handle.remove()
    edits = dict(zip((early, place), values, strict=True))
    for resume in (True, False):
        logits = model.record(RAGGED, at="last", resume=resume).run(edits).logits
        for a, b in zip(torch.autograd.grad(logits.square().sum(), values), wanted, strict=True):
            close(a, b, resume)
            assert float(b.abs().max()) > 1e-6


# --- runs from a recording, on every family ---------------------------------------------------------------------------


@several
def test_resumed_is_whole(network: Network) -> None:
    model, inputs = loaded(network), padded(network, 7)
    last = model.adapter.shape.n_layers - 1
    groups = [
        [site.resid_post(0, at=1)],
        [site.z(1, 0, at=-2), site.attn_out(last, at=1)],
        [site.embed(at=2), site.k(last, at=-1), site.z(0, (1, 0))],
        [site.resid_pre(1, at=(0, -1)), site.resid_post(last, at=-1)],
        [site.head_out(1, 1, at=-1), site.v(0)],
        [site.q(1, neurons=(3, 1, 2))],
    ]
    sites = [tuple(along(model, place, inputs, 2, seed=i) for i, place in enumerate(group)) for group in groups]
    edits = [{place: value_at(model, place, inputs, seed=i) for i, place in enumerate(group)} for group in sites]
    reads = [along(model, place, inputs, 3, seed=9) for place in (site.resid_post(0, at=-1), site.z(last, at=(0, -1)))]
    whole, resumed = (model.record(inputs, at="last", resume=r) for r in (False, True))
    assert resumed.tape is not None
    swept = dict(resumed.sweep(edits))
    for number, each in enumerate(edits):
        wanted, found = whole.run(each, reads), resumed.run(each, reads)
        captured = resumed.capture(each, reads)
        close(found.logits, wanted.logits, sites[number])
        close(swept[number], wanted.logits, sites[number])
        assert float((wanted.logits - whole.logits).abs().max()) > 1e-6
        for place in reads:
            close(found[place], wanted[place], (sites[number], place))
            close(captured[place], wanted[place], (sites[number], place))


@several
def test_the_whole_space_is_the_place_itself(network: Network) -> None:
    """An interchange in any basis of everything is the interchange."""
    model, base, source = loaded(network), padded(network, 8), padded(network, 9)
    last, recording = model.adapter.shape.n_layers - 1, model.record(base, at="last")
    places = [site.resid_post(0, at=-2), site.z(1, at=(1, -1)), site.resid_post(last, at=-1), site.attn_out(1)]
    for place in places:
        there = model.run(source, read=[place])[place]
        wanted, width = recording.run({place: there}).logits, there.shape[-1]
        moved = float((wanted - recording.logits).abs().max())
        assert moved > 1e-6 or network.name == "classifier"  # which reads the first position alone
        for basis in (Basis(np.eye(width)), Basis.of(directions(width, width))):
            some = place.along(basis)
            close(recording.run({some: model.run(source, read=[some])[some]}).logits, wanted, some)


# --- several edits of one place ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [gpt2, llama])
def test_orthogonal_edits_of_one_place_are_their_sum(make: Any) -> None:
    model = model_of(make)
    for place in (site.resid_post(1, at=-1), site.z(1, 2, at=(0, -1)), site.mlp_hidden(0, neurons=range(8))):
        whole = model.run(RAGGED, read=[place])[place]
        a, b = apart((2, 3), whole.shape[-1])
        joint = place.along(Basis(np.hstack([a.columns, b.columns])))
        one, two = (value_at(model, place.along(x), RAGGED, seed=i) for i, x in enumerate((a, b)))
        rest = place.along(Basis(np.hstack([a.columns, b.columns])).complement())
        reads = [place, place.along(a), place.along(b), rest]
        wanted = model.run(RAGGED, edits={joint: torch.cat([one, two], -1)}, read=reads)
        for edits in ({place.along(a): one, place.along(b): two}, {place.along(b): two, place.along(a): one}):
            found = model.run(RAGGED, edits=edits, read=reads)
            close(found.logits, wanted.logits, place)
            for read in reads:
                close(found[read], wanted[read], read)
            close(found[place.along(a)], one)
            close(found[rest], model.run(RAGGED, read=[rest])[rest], "the complement is untouched")
            close(model.record(RAGGED, at="last").run(edits).logits, wanted.logits[:, -1])


def test_edits_that_share_numbers_are_refused() -> None:
    model, place = model_of(gpt2), site.resid_post(1, at=-1)
    a, b = apart((2, 3), 24)
    mixed = Basis.of(a.columns[:, 0] + b.columns[:, 0])
    run = partial(model.run, RAGGED)
    with pytest.raises(SiteError, match=r"not orthogonal, the largest cosine between the two subspaces is 0\.71"):
        run(edits={place.along(a): 0.0, place.along(mixed): 0.0})
    with pytest.raises(SiteError, match="not orthogonal"):
        run(edits={place.along(a): 0.0, site.resid_post(1).along(mixed): 0.0})  # at all positions, so also there
    with pytest.raises(SiteError, match="not orthogonal"):
        run(edits={place.along(a): 0.0, site.resid_pre(2, at="last").along(mixed): 0.0})  # the same by another name
    for other in (place, site.resid_post(1), site.module("transformer.h.1"), site.resid_post(1, neurons=[3], at=-1)):
        with pytest.raises(SiteError, match="write the same numbers; edit them once"):
            run(edits={place.along(a): 0.0, other: 0.0})
    first = np.eye(24)[:2]
    apart_edits = [
        {place.along(a): 0.0, site.resid_post(1, at=0).along(mixed): 0.0},
        {place.along(a): 0.0, site.resid_post(2, at=-1).along(mixed): 0.0},
        {site.z(1, 0).along(first[:, :6]): 0.0, site.z(1, 1): 0.0},
        {place.along(first): 0.0, site.resid_post(1, neurons=range(2, 24), at=-1): 0.0},
        {place.along(first): 0.0, site.resid_post(1, neurons=(7, 0, 2), at=-1).along([2.0, 0.0, 1.0]): 0.0},
    ]
    for edits in apart_edits:
        run(edits=edits)
    with pytest.raises(SiteError, match="not orthogonal"):
        run(edits={place.along(first): 0.0, site.resid_post(1, neurons=(7, 0), at=-1).along([2.0, 1e-3]): 0.0})


def test_subspaces_and_neurons_of_one_place() -> None:
    """A direction along an axis is a neuron."""
    model, axes = model_of(gpt2), np.eye(24)
    value = numbers(3, 2)
    for other in (site.resid_post(1, neurons=(5, 6), at=-1), site.resid_post(1, at=-1).along(axes[[5, 6]])):
        found = model.run(RAGGED, edits={site.resid_post(1, at=-1).along(axes[2]): 1.5, other: value})
        wanted = model.run(
            RAGGED,
            edits={site.resid_post(1, neurons=(2, 5, 6), at=-1): torch.cat([torch.full((3, 1), 1.5), value], -1)},
        )
        close(found.logits, wanted.logits)


# --- shapes and mistakes ----------------------------------------------------------------------------------------------


def test_a_single_direction_keeps_its_axis() -> None:
    model = model_of(gpt2)
    for place, shape in (
        (site.resid_post(1).along(np.ones(24)), (3, 5, 1)),
        (site.resid_post(1, at="last").along(np.ones(24)), (3, 1)),
        (site.z(1, 0, at="last").along(directions(2, 6)), (3, 2)),
        (site.head_out(1, at=0).along(directions(2, 24)), (3, 4, 2)),
        (site.logits(at=-1).along(directions(2, 10)), (3, 2)),
    ):
        plan = cm.plan(model, RAGGED, read=[place])
        assert plan.shapes[place] == shape == tuple(model.run(RAGGED, read=[place])[place].shape)
        assert f"read {place}" in str(plan)
        close(
            model.run(RAGGED, edits={place: 0.5}).logits,
            model.run(RAGGED, edits={place: torch.full(shape, 0.5)}).logits,
        )
        with pytest.raises(SiteError, match=r"the edit has shape \(7,\)"):
            model.run(RAGGED, edits={place: torch.zeros(7)})


def test_a_network_without_positions() -> None:
    model, x = model_of(mlp), numbers(4, 6)
    place = site.module("layer1").along(directions(3, 8))
    h = model.module.layer1(x)
    c, columns = numbers(4, 3, seed=1), torch.tensor(place.basis.columns)
    close(model.run(x, read=[place])[place], h @ columns)
    wanted = model.module.head(model.module.layer2(h + (c - h @ columns) @ columns.T))
    close(model.run(x, edits={place: c}, batch_size=3).logits, wanted)
    assert count_hooks(model.module) == 0


def test_directions_of_another_width_are_refused_before_any_run() -> None:
    model = model_of(llama)
    calls: list[int] = []
    handle = model.module.register_forward_pre_hook(lambda *_: calls.append(1))
    for place, widths in (
        (site.resid_post(1), "64 numbers, the place has 32"),
        (site.z(1, 0, at=-1), "64 numbers, the place has 8"),
        (site.mlp_hidden(1), "64 numbers, the place has 48"),
    ):
        for how in ({"edits": {place.along(np.ones(64)): 0.0}}, {"read": [place.along(np.ones(64))]}):
            with pytest.raises(SiteError, match=widths):
                model.run(RAGGED, **how)
    with pytest.raises(PositionError):
        model.run(RAGGED, read=site.resid_post(1, at=9).along(np.ones(32)))
    with pytest.raises(DataError):
        model.run(RAGGED, read=site.resid_post(1).along(np.ones(32)), batch_size=0)
    handle.remove()
    assert calls == []


@pytest.mark.parametrize("make", [gpt2, llama])
def test_a_network_in_half_precision(make: Any) -> None:
    """Coordinates come in its type, and its other numbers stay exactly what they were as far as that type tells."""
    model, place = cm.load_model(make(torch.bfloat16)), site.resid_post(1, at=-1)
    whole = model.run(TOKENS, read=[place])[place]
    basis = Basis.of(directions(2, whole.shape[-1]))
    some, c = place.along(basis), numbers(3, 2).bfloat16()
    found = model.run(TOKENS, edits={some: c}, read=[place, some])
    assert found[some].dtype == found[place].dtype == torch.bfloat16
    columns = torch.tensor(basis.columns)
    exact = whole.double() + (c.double() - whole.double() @ columns) @ columns.T
    assert bool(((found[place].double() - exact).abs() <= torch.finfo(torch.bfloat16).eps * exact.abs() + 1e-6).all())
    recording = model.record(TOKENS, at="last")
    resumed, size = recording.run({some: c}).logits, float(found.logits.float().abs().max())
    assert float((resumed.float() - found.logits[:, -1].float()).abs().max()) <= 0.05 * size


def test_one_place_seen_in_two_layouts() -> None:
    """Queries by head, and the output of the projection that gives them, are the same numbers with other axes."""
    model = model_of(llama)
    q, whole = site.q(1), site.module("model.layers.1.self_attn.q_proj")
    found = model.run(TOKENS, read=[q, whole])
    assert torch.equal(found[whole], found[q].flatten(2))
    a, b = directions(1, 8), directions(1, 32)
    found = model.run(TOKENS, read=[q.along(a), whole.along(b)])
    close(found[whole.along(b)], model.run(TOKENS, read=[whole])[whole] @ torch.tensor(Basis.of(b).columns))
    for edits in ({q.along(a): 0.0, whole.along(b): 0.0}, {site.q(1, neurons=[0]): 0.0, whole[5:6]: 0.0}):
        with pytest.raises(SiteError, match="write the same numbers"):
            model.run(TOKENS, edits=edits)
