"""Edits and reads do what a forward pass written by hand does."""

import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SiteError
from tests.networks import draw_tokens, every_transformer, gpt2, llama, mlp, reference


def test_head_edits_by_hand_on_gpt2() -> None:
    net = gpt2().eval()
    model = cm.load_model(net)
    base, source = draw_tokens(3, 1), draw_tokens(3, 2)
    place = site.z(1, 2, at=2)
    value = model.run(source, read=[place])[place]
    kept: dict[str, torch.Tensor] = {}

    def by_hand(module, args):
        z = args[0].clone()
        z[:, 2, 2 * 6 : 3 * 6] = kept["z"]
        return (z,)

    proj = net.transformer.h[1].attn.c_proj
    hook = proj.register_forward_pre_hook(lambda m, a: kept.update(z=a[0][:, 2, 12:18].clone()))
    net(source)
    hook.remove()
    assert torch.equal(kept["z"], value)
    hook = proj.register_forward_pre_hook(by_hand)
    wanted = net.eval()(base).logits
    hook.remove()
    torch.testing.assert_close(model.run(base, edits={place: value}).logits, wanted)


def test_fused_projections_by_hand_on_gpt2() -> None:
    net = gpt2().eval()
    model, base, kept = cm.load_model(net), draw_tokens(2, 0), {}
    hook = net.transformer.h[1].attn.c_attn.register_forward_hook(lambda m, a, out: kept.update(qkv=out))
    net(base)
    hook.remove()
    run = model.run(base, read=[site.q(1), site.k(1), site.v(1, 3)])
    q, k, v = (part.view(2, 5, 4, 6) for part in kept["qkv"].split(24, dim=-1))
    assert torch.equal(run[site.q(1)], q)
    assert torch.equal(run[site.k(1)], k)
    assert torch.equal(run[site.v(1, 3)], v[:, :, 3])
    zeroed = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (0 * q, k, v)), is_causal=True
    )
    edited = model.run(base, edits={site.q(1): 0.0}, read=[site.z(1)])
    torch.testing.assert_close(edited[site.z(1)], zeroed.transpose(1, 2))


def test_grouped_keys_and_values_by_hand_on_llama() -> None:
    net = llama().eval()
    model = cm.load_model(net)
    base = draw_tokens(2, 0)
    kept = {}
    hooks = [getattr(net.model.layers[1].self_attn, f"{n}_proj").register_forward_hook(
        lambda m, a, o, n=n: kept.update({n: o})) for n in "qkv"]  # fmt: skip
    net(base)
    [h.remove() for h in hooks]
    run = model.run(base, read=[site.q(1), site.k(1), site.v(1, 1)])
    assert torch.equal(run[site.q(1)], kept["q"].view(2, 5, 4, 8))
    assert torch.equal(run[site.k(1)], kept["k"].view(2, 5, 2, 8))
    assert torch.equal(run[site.v(1, 1)], kept["v"].view(2, 5, 2, 8)[:, :, 1])


@every_transformer
def test_head_out_is_the_heads_share_of_attn_out(network) -> None:
    model = cm.load_model(network.make())
    if not model.adapter.family.heads_add:
        pytest.skip("a norm follows the heads' sum")
    base = network.draw(3, 1)
    clean = model.run(base, read=[site.head_out(1), site.attn_out(1)])
    gone = model.run(base, edits={site.head_out(1, 1): 0.0}, read=[site.attn_out(1)])
    wanted = clean[site.attn_out(1)] - clean[site.head_out(1)][:, :, 1]
    torch.testing.assert_close(gone[site.attn_out(1)], wanted)
    zeroed = model.run(base, edits={site.z(1, 1): 0.0})
    torch.testing.assert_close(zeroed.logits, model.run(base, edits={site.head_out(1, 1): 0.0}).logits)


@every_transformer
def test_pattern_rows_sum_to_one_and_edits_take_hold(network) -> None:
    model = cm.load_model(network.make())
    base = network.draw(3, 1)
    run = model.run(base, read=[site.pattern(1), site.v(1), site.z(1)])
    pattern = run[site.pattern(1)]  # [batch, query, head, key]
    torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern[..., 0]))
    first = torch.zeros_like(pattern[:, 2, 0])
    first[:, 0] = 1.0  # head 0 at position 2 looks at position 0 alone
    edited = model.run(base, edits={site.pattern(1, 0, at=2): first}, read=[site.z(1)])
    torch.testing.assert_close(edited[site.z(1)][:, 2, 0], run[site.v(1)][:, 0, 0])
    torch.testing.assert_close(run.logits, model.run(base).logits)  # the open attention is the same function


@every_transformer
def test_mlp_in_leaves_the_stream_alone(network) -> None:
    model = cm.load_model(network.make())
    if "resid_mid" in model.adapter.absent:
        pytest.skip("no MLP, or beside attention")
    base = network.draw(2, 1)
    read = [site.resid_mid(1), site.mlp_out(1), site.resid_post(1)]
    run = model.run(base, edits={site.mlp_in(1): 0.3}, read=read)
    clean = model.run(base, read=read)
    assert torch.equal(run[site.resid_mid(1)], clean[site.resid_mid(1)])
    assert not torch.equal(run[site.mlp_out(1)], clean[site.mlp_out(1)])
    torch.testing.assert_close(run[site.resid_post(1)], run[site.resid_mid(1)] + run[site.mlp_out(1)])


def test_a_read_sees_the_edit_and_neurons_are_apart() -> None:
    model = cm.load_model(mlp())
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = site.module("layer1")[0:4], site.module("layer1")[4:8]
    run = model.run(x, edits={a: 1.0, b: torch.arange(4.0)}, read=[site.module("layer1")])
    assert run[site.module("layer1")].tolist() == [[1, 1, 1, 1, 0, 1, 2, 3]] * 4
    with pytest.raises(SiteError, match="write the same numbers"):
        model.run(x, edits={a: 1.0, site.module("layer1", neurons=[3, 5]): 0.0})


def test_gradients_flow_exactly_when_asked() -> None:
    model = cm.load_model(reference())
    value = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    place = site.resid_mid(1, at="last")
    run = model.run(draw_tokens(2, 0), edits={place: value})
    (gradient,) = torch.autograd.grad(run.logits.sum(), value)
    step = torch.zeros(12, dtype=torch.float64)
    step[3] = 1e-6
    up, down = (model.run(draw_tokens(2, 0), edits={place: s}).logits.sum() for s in (step, -step))
    assert float(gradient[3]) == pytest.approx(float(up - down) / 2e-6, rel=1e-6)
    assert not model.run(draw_tokens(2, 0)).logits.requires_grad


class Hungry(torch.nn.Module):
    """Runs out of memory for batches of more than three."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.sizes = torch.nn.Linear(6, 2), []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(x)


def test_batches_halve_when_memory_runs_out() -> None:
    net = Hungry()
    x = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    out = cm.load_model(net).run(x, batch_size=10).logits
    assert net.sizes == [10, 5, 2, 2, 2, 2, 2]
    assert torch.allclose(out, net.layer(x))


def test_bad_edits_say_what_fits() -> None:
    model = cm.load_model(reference())
    with pytest.raises(SiteError, match=r"\(2, 12\)"):
        model.run(draw_tokens(2, 0), edits={site.resid_post(0, at=1): torch.zeros(2, 5)})
    with pytest.raises(SiteError, match="NaN"):
        model.run(draw_tokens(2, 0), edits={site.resid_post(0, at=1): float("nan")})
    with pytest.raises(DataError, match="vocabulary"):
        model.run(torch.tensor([[0, 99]]))
    with pytest.raises(DataError, match="at most 16"):
        model.run(torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(DataError, match="batch_size"):
        model.run(draw_tokens(2, 0), batch_size=0)


def test_the_plan_prints_positions_and_cost() -> None:
    model = cm.load_model(reference())
    plan = cm.plan(
        model, draw_tokens(5, 0), read=[site.resid_post(0, at="last")], edits={site.z(1, 0): 0.0}, batch_size=2
    )
    assert plan.passes == 3
    assert "resid_post(0, at='last')" in str(plan) and "3 forward passes" in str(plan)


def test_one_place_under_two_names_is_edited_once() -> None:
    model = cm.load_model(reference())
    tokens = draw_tokens(2, 0)
    for a, b in (
        (site.resid_post(0, at="last"), site.resid_pre(1, at=-1)),
        (site.attn_out(0), site.module("blocks.0.attn.o")),
    ):
        with pytest.raises(SiteError, match="write the same numbers"):
            model.run(tokens, edits={a: 0.0, b: 1.0})
    apart = {site.resid_post(0, at=0): 0.0, site.resid_pre(1, at=1): 1.0}
    run = model.run(tokens, edits=apart, read=[site.resid_post(0)])
    assert run[site.resid_post(0)][:, 0].unique().tolist() == [0.0]
    assert run[site.resid_post(0)][:, 1].unique().tolist() == [1.0]


def test_positions_are_refused_where_axis_1_is_something_else() -> None:
    model = cm.load_model(reference())
    with pytest.raises(SiteError, match="without an axis of 5 positions"):
        model.run(draw_tokens(2, 0), read=[site.module("blocks.0.attn.pattern", at=0)])


def test_what_is_no_site_is_refused() -> None:
    model = cm.load_model(reference())
    for what in ({"read": ["resid_post(0)"]}, {"edits": {"resid_post(0)": 0.0}}, {"edits": [site.resid_post(0)]}):
        with pytest.raises(SiteError, match="no site|mapping"):
            model.run(draw_tokens(2, 0), **what)  # type: ignore[arg-type]
    run = model.run(draw_tokens(2, 0), read=site.resid_post(0))
    assert repr(run) == "Run(logits [2, 5, 7], resid_post(0) [2, 5, 12])"


def test_inputs_that_do_not_fit_a_module_are_told() -> None:
    model = cm.load_model(mlp())
    with pytest.raises(DataError, match=r"cannot be run on an example of shape \(1, 5\)"):
        model.run(torch.zeros(2, 5), read=[site.module("layer1")])


def test_the_untrained_network_leaves_the_generators_alone() -> None:
    model = cm.load_model(mlp())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first = torch.rand(3)
        torch.manual_seed(5)
        model.untrained(0)
        assert torch.equal(torch.rand(3), first)
