"""What features of every kind must obey in every network: the relations of interchanges that hold exactly."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi import Inputs, site
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.errors import CausalmiError, SiteError
from causalmi.spec.site import Site
from tests.contract.test_invariants import count_hooks, last_state, middle
from tests.featurizers import KINDS, Kind, modules, numbers, orthonormal, sparse
from tests.networks import ENCODERS, FAMILIES, NETWORKS, Network, exact_norms

EVERY = [*{n.name: n for n in (*NETWORKS, *FAMILIES, *ENCODERS)}.values()]
every_one = pytest.mark.parametrize("network", EVERY, ids=lambda n: n.name)
FEW = ("llama", "gemma3", "vit", "mlp")
few = pytest.mark.parametrize("network", [n for n in EVERY if n.name in FEW], ids=lambda n: n.name)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
MODELS: dict[str, cm.Model] = {}


@pytest.fixture(autouse=True)
def _softmax_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models take it in float32, in which a difference in the last digit of float64 can become a large one."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim, dtype=x.dtype))


def loaded(network: Network) -> cm.Model:
    """Once; with norms in its own precision, but for Gemma's, which are others."""
    if network.name not in MODELS:
        module = network.make()
        MODELS[network.name] = cm.load_model(module if "gemma" in network.name else exact_norms(module))
    return MODELS[network.name]


def places(model: cm.Model) -> list[Site]:
    """A stream at the last position, a head at two, neurons out of order, whole sequences; or modules."""
    if not hasattr(model.adapter, "shape"):
        return [site.module("layer1"), site.module("layer2", neurons=(5, 1, 2, 4))]
    last, two = (None, None) if "ViT" in model.adapter.name else (-1, (0, -2))
    return [
        site.resid_post(1, at=last),
        site.z(1, 1, at=two),
        site.attn_out(0, neurons=(3, 0, 5, 1)),
        site.resid_pre(2),
    ]


def shared(model: cm.Model) -> list[tuple[Kind, Site]]:
    """Every kind of featurizer at one of the places, each place with several of them."""
    return [(kind, places(model)[i % len(places(model))]) for i, kind in enumerate(KINDS)]


def width(model: cm.Model, place: Site, inputs: Tensor) -> int:
    return int(model.capture(inputs, place)[place].shape[-1])


def close(a: Tensor, b: Tensor, what: object = "", network: Network | None = None) -> None:
    most = 1e-5 if network is not None and "gemma" in network.name else 1e-8
    torch.testing.assert_close(a, b, rtol=most, atol=most, msg=lambda m: f"{what}: {m}")


def made(kind: Kind, model: cm.Model, place: Site, inputs: Tensor) -> Featurizer:
    return kind.make(width(model, place, inputs))


def halves(featurizer: Featurizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Some of the features, and the others, neither in order."""
    order = torch.randperm(featurizer.size, generator=torch.Generator().manual_seed(3)).tolist()
    return tuple(order[: featurizer.size // 2]), tuple(order[featurizer.size // 2 :])


@every_one
def test_own_features_change_nothing(network: Network) -> None:
    """C4, C6: all of them, and some, of a dictionary that reconstructs nothing too."""
    model, base = loaded(network), network.draw(3, 1)
    recording = model.record(base)
    for number, (kind, place) in enumerate(shared(model)):
        featurizer = made(kind, model, place, base)
        some = place.features(featurizer, halves(featurizer)[0] if (number + EVERY.index(network)) % 2 else None)
        own = model.capture(base, some)[some]
        close(recording.run({some: own}).logits, recording.logits, (kind.name, some), network)
        whole = model.run(base, edits={some: own}).logits
        close(whole.view(recording.logits.shape), recording.logits, (kind.name, some), network)


@every_one
def test_all_features_without_a_rest_are_the_place_itself(network: Network) -> None:
    """C1, C2; C3 at the last state, from which the source's own logits come."""
    model, base, source = loaded(network), network.draw(3, 1), network.draw(3, 2)
    whole = [kind for kind in KINDS if kind.whole]
    for place, kind in [*zip(places(model), whole, strict=False), *((last_state(model), kind) for kind in whole)]:
        there = model.capture(source, place)[place]
        some = place.features(made(kind, model, place, base))
        found = model.run(base, edits={some: model.capture(source, some)[some]}).logits
        close(found, model.run(base, edits={place: there}).logits, (kind.name, some), network)
        if place == last_state(model):
            close(found, model.run(source).logits, kind.name, network)


@every_one
def test_different_features_are_set_together(network: Network) -> None:
    """C12: in any order, by two sites or by one, at once and from a recording."""
    model, base = loaded(network), network.draw(3, 1)
    recording = model.record(base)
    for kind, place in shared(model):
        featurizer = made(kind, model, place, base)
        some, others = halves(featurizer)
        a, b, both = (place.features(featurizer, which) for which in (some, others, (*some, *others)))
        x, y = (numbers(*cm.plan(model, base, read=s).shapes[s], seed=i) for i, s in enumerate((a, b)))
        joint = {both: torch.cat([x, y], -1)}
        wanted, *found = (logits for _, logits in sorted(recording.sweep([joint, {a: x, b: y}, {b: y, a: x}])))
        for each in found:
            close(each, wanted, (kind.name, a), network)
        assert not torch.allclose(wanted, recording.logits) or "classifier" in network.name, kind.name  # read elsewhere
    close(model.run(base, edits={b: y, a: x}).logits.view(wanted.shape), wanted, (kind.name, a), network)


@few
def test_an_edit_is_decoded_on_the_rest_of_the_base(network: Network) -> None:
    """What is put there is what the featurizer makes of these features and of what it left of the base."""
    model, base, source = loaded(network), network.draw(3, 1), network.draw(3, 2)
    place = places(model)[0]
    here, there = (model.capture(x, place)[place] for x in (base, source))
    for kind in KINDS:
        if kind.name == "user's modules":
            continue  # whose weights are in float32; see the tests of modules
        featurizer = made(kind, model, place, base)
        if isinstance(featurizer, nn.Module):
            featurizer.eval().double()
        some, _ = halves(featurizer)
        features, rest = featurizer.encode(here)
        features = features.clone()
        features[..., list(some)] = featurizer.encode(there)[0][..., list(some)]
        wanted = model.run(base, edits={place: featurizer.decode(features, rest).detach()}).logits
        part = place.features(featurizer, some)
        found = model.run(base, edits={part: model.capture(source, part)[part]})
        close(found.logits, wanted, kind.name, network)


@few
def test_a_batch_is_its_rows_in_any_order(network: Network) -> None:
    """C10."""
    model, base, source = loaded(network), network.draw(4, 1), network.draw(4, 2)
    order = torch.tensor([3, 0, 1, 2])
    for kind, place in shared(model):
        featurizer = made(kind, model, place, base)
        some = place.features(featurizer, halves(featurizer)[1])
        value = model.capture(source, some)[some]
        close(model.capture(source[order], some, batch_size=1)[some], value[order], kind.name, network)
        whole = model.run(base, edits={some: value}).logits
        found = model.run(base[order], edits={some: value[order]}, batch_size=1).logits
        close(found, whole[order], kind.name, network)


@few
def test_foreign_hooks_stay_and_fire(network: Network) -> None:
    """C8: also when a featurizer raises in the middle of a run."""
    module, base = network.make(), network.draw(2, 1)
    model, fired = cm.load_model(module), []
    place = middle(model)
    some = place.features(Fragile(width(model, place, base)))
    model.run(base, edits={some: 0.0})
    handle = module.register_forward_hook(lambda *_: fired.append(1))
    before = count_hooks(module)
    model.run(base, edits={some: 0.0})
    assert fired == [1] and count_hooks(module) == before
    some.featurizer.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        model.run(base, edits={some: 0.0})
    assert count_hooks(module) == before
    handle.remove()


class Fragile:
    """The numbers themselves, until it breaks."""

    linear, broken = True, False

    def __init__(self, width: int):
        self.width = self.size = width

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        if self.broken:
            raise RuntimeError("broken")
        return x, None

    def decode(self, features: Tensor, rest: None) -> Tensor:
        return features


@pytest.mark.parametrize("network", [n for n in EVERY if n.name in ("llama", "mlp")], ids=lambda n: n.name)
@every_kind
def test_what_the_user_gave_is_untouched(network: Network, kind: Kind) -> None:
    """C9: tensors, weights and modes; no gradient comes to a featurizer's weights."""
    model, base, source = loaded(network), network.draw(3, 1), network.draw(3, 2)
    place = places(model)[0]
    featurizer = made(kind, model, place, base)
    held = [featurizer] if isinstance(featurizer, nn.Module) else []
    for module in held:
        module.train()
    weights = [p for module in held for p in module.parameters()]
    some = place.features(featurizer, (0, 1))
    value = model.capture(source, some)[some].requires_grad_()
    copies = [x.detach().clone() for x in (base, value, *weights)]
    run = model.run(base, edits={some: value}, read=[some])
    (gradient,) = torch.autograd.grad(run.logits.square().sum(), value, retain_graph=True)
    assert gradient.shape == value.shape
    run.logits.sum().backward()
    run[some].detach().zero_()
    assert all(torch.equal(a, b) for a, b in zip((base, value.detach(), *weights), copies, strict=True))
    assert all(p.grad is None and p.requires_grad for p in weights)
    assert all(part.training for module in held for part in module.modules())


@few
def test_what_does_not_fit_is_refused_before_any_run(network: Network) -> None:
    """C11."""
    model, base, calls = loaded(network), network.draw(2, 1), []
    place = middle(model)
    d = width(model, place, base)
    handle = model.module.register_forward_pre_hook(lambda *_: calls.append(1))
    wrong: list[Any] = [
        (lambda: place.features(sparse(d), 2 * d), f"no feature {2 * d}; .* has {2 * d}, 0 to {2 * d - 1}"),
        (lambda: place.features(sparse(d), [0, 0]), "the same index twice"),
        (lambda: place.features(sparse(d + 1)), f"takes {d + 1} numbers, the place has {d}"),
        (lambda: place.features(Lossy(d)), "does not give a vector back"),
        (lambda: place.features(Unsplit(d)), "encode of Unsplit.* gives a Tensor"),
        (lambda: place.features(Liar(d)), "says that it is linear"),
        (lambda: place.features(Misshapen(d)), "fails on vectors|must be"),
    ]
    try:
        for make, says in wrong:
            for how in ("edits", "read"):
                with pytest.raises(SiteError, match=says):
                    model.run(base, **{how: {make(): 0.0} if how == "edits" else [make()]})
        with pytest.raises(CausalmiError):
            model.run(base, read=[place.features(sparse(d))], batch_size=0)
    finally:
        handle.remove()
    assert calls == []


class Lossy(Fragile):
    """An autoencoder without what it misses."""

    def decode(self, features: Tensor, rest: None) -> Tensor:
        return features.relu()


class Unsplit(Fragile):
    def encode(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return x


class Liar(Fragile):
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return x.tanh(), x - x.tanh()

    def decode(self, features: Tensor, rest: Tensor) -> Tensor:  # type: ignore[override]
        return features + rest


class Misshapen(Fragile):
    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        return x[..., :1], None


def transformer() -> cm.Model:
    return loaded(next(n for n in EVERY if n.name == "llama"))


def test_edits_of_one_place_that_are_no_joint_edit_are_refused() -> None:
    model, tokens, place = transformer(), torch.zeros(2, 5, dtype=torch.long), site.resid_post(1, at=-1)
    mine, other = sparse(32), sparse(32)
    a = place.features(mine, (0, 1))
    for b, says in (
        (place.features(mine, (1, 2)), "both set feature 1; edit it once"),
        (place.features(mine), "one of them is all of the features"),
        (place.features(other, (5,)), "two featurizers cannot be set together"),
        (site.resid_post(1, at=(-1, 0)).features(mine, (5,)), "exactly the same positions"),
        (site.resid_post(1).features(mine, (5,)), "exactly the same positions"),
        (place, "write the same numbers; edit them once"),
        (place.along(torch.ones(32)), "write the same numbers"),
        (site.resid_post(1, at=-1, neurons=(3,)), "write the same numbers"),
    ):
        for edits in ({a: 0.0, b: 0.0}, {b: 0.0, a: 0.0}):
            with pytest.raises(SiteError, match=says):
                model.run(tokens, edits=edits)
    head = sparse(8)
    for b in (
        site.resid_post(1, at=0).features(mine, (0,)),
        site.resid_post(1, at=0).features(other, (0,)),
        site.resid_post(0, at=-1).features(mine, (0, 1)),
    ):
        model.run(tokens, edits={a: 0.0, b: 0.0})
    model.run(tokens, edits={site.z(1, 0).features(head, (0,)): 0.0, site.z(1, 1).features(head, (0,)): 0.0})
    with pytest.raises(SiteError, match="heads and neurons"):
        model.run(tokens, edits={site.z(1, (0, 1)).features(head, (0,)): 0.0, site.z(1, 1).features(head, (1,)): 0.0})
    few, rest = site.mlp_hidden(1, neurons=range(4)), site.mlp_hidden(1, neurons=range(4, 8))
    model.run(tokens, edits={few.features(sparse(4), (0,)): 0.0, rest.features(sparse(4), (0,)): 0.0})


def test_joint_edits_of_one_place_by_its_two_names() -> None:
    """And with the axis of a single position dropped in one of them; three at once; one number for all."""
    model, tokens = transformer(), torch.arange(15).view(3, 5) % 10
    featurizer = sparse(32, "topk", k=5)
    a = site.resid_post(1, at=-1).features(featurizer, (0, 1))
    b = site.resid_pre(2, at=(-1,)).features(featurizer, (9, 4))
    c = site.resid_pre(2, at="last").features(featurizer, 30)
    x, y = numbers(3, 2), numbers(3, 1, 2, seed=1)
    joint = site.resid_post(1, at=-1).features(featurizer, (0, 1, 9, 4, 30))
    wanted = model.run(tokens, edits={joint: torch.cat([x, y[:, 0], torch.full((3, 1), 2.0)], -1)}).logits
    close(model.run(tokens, edits={c: 2.0, a: x, b: y}).logits, wanted)
    close(model.run(tokens, edits={a: x, b: y, c: 2.0}, batch_size=2).logits, wanted)
    assert "features(SparseAutoencoder(32 -> 64, topk 5), [0, 1, 9, 4])" in str(
        cm.plan(model, tokens, edits={a: x, b: y})
    )


def test_one_after_the_other_is_another_thing_where_decoding_is_not_linear() -> None:
    """So that the tests above could have failed."""
    model, tokens, place = transformer(), torch.arange(15).view(3, 5) % 10, site.resid_post(1, at=-1)
    featurizer = sparse(32)
    some, others = halves(featurizer)
    a, b = place.features(featurizer, some), place.features(featurizer, others)
    x, y = numbers(3, 32), numbers(3, 32, seed=1)
    first = model.run(tokens, edits={a: x}, read=[place])[place]
    features, rest = featurizer.encode(first)
    features[..., list(others)] = y
    second = model.run(tokens, edits={place: featurizer.decode(features, rest)}).logits
    assert float((second - model.run(tokens, edits={a: x, b: y}).logits).abs().max()) > 1e-3


def test_principal_features_are_a_subspace() -> None:
    """An interchange of components is one along their directions."""
    from causalmi.engine.featurizers.principal import PCA

    model, base, source = transformer(), torch.arange(15).view(3, 5) % 10, torch.arange(1, 16).view(3, 5) % 7
    place = site.resid_post(1, at=-1)
    pca = PCA.of(numbers(50, 32) * torch.arange(1, 33) + 5.0, dims=6)
    part, along = place.features(pca, (4, 1)), place.along(pca.basis.columns[:, [4, 1]].T)
    found, wanted = (model.run(base, edits={s: model.capture(source, s)[s]}).logits for s in (part, along))
    close(found, wanted)
    turned = place.features(orthonormal_rotation(32), (3, 0))
    along = place.along(orthonormal(32, 32)[:, [3, 0]].T)
    found, wanted = (model.run(base, edits={s: model.capture(source, s)[s]}).logits for s in (turned, along))
    close(found, wanted)


def orthonormal_rotation(d: int) -> Featurizer:
    from causalmi.engine.featurizers.linear import Rotation

    return Rotation(orthonormal(d, d))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@every_kind
def test_in_other_precisions(kind: Kind, dtype: torch.dtype) -> None:
    """Own features come back up to one rounding of the network's type, and features have that type."""
    from tests.networks import llama

    model = HALF.setdefault(dtype, cm.load_model(llama(dtype)))
    tokens, place = torch.arange(15).view(3, 5) % 10, site.resid_post(1, at=-1)
    some = place.features(kind.make(32))
    before = model.capture(tokens, [place, some])
    after = model.run(tokens, edits={some: before[some].float()}, read=[place])
    assert before[some].dtype == dtype
    off = (after[place].float() - before[place].float()).abs().max() / before[place].float().abs().max()
    assert float(off) <= 20 * torch.finfo(dtype).eps  # features were rounded before they were put back


HALF: dict[torch.dtype, cm.Model] = {}


def test_positions_that_differ_by_example_with_padding() -> None:
    model = transformer()
    tokens, mask = torch.arange(15).view(3, 5) % 10, torch.tensor([[1] * 5, [0, 1, 1, 1, 1], [0, 0, 1, 1, 1]]).bool()
    inputs = Inputs.of(tokens, mask)
    featurizer = modules(32)
    a, b = (site.resid_post(1, at=(0, "last")).features(featurizer, which) for which in ((0, 2), (1,)))
    clean, own = model.record(inputs, at="last"), model.capture(inputs, [a, b])
    assert own[a].shape == (3, 2, 2) and own[b].shape == (3, 2, 1)
    close(clean.run(own).logits, clean.logits)
    joint = clean.run({a: 0.5 * own[a], b: 2 * own[b]}).logits
    whole = model.record(inputs, at="last", resume=False).run({b: 2 * own[b], a: 0.5 * own[a]}).logits
    close(joint, whole)
    assert not torch.allclose(joint, clean.logits)
