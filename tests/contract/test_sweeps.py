"""What every method that runs a network many times must leave as it was: hooks, weights, modes, tensors, memory."""

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi import site
from causalmi.methods.ablate import ablate
from causalmi.methods.ablations import Mean, Resample
from causalmi.methods.attribution import direct_logit_attribution
from causalmi.methods.logit_lens import logit_lens
from causalmi.methods.patching import activation_patching
from causalmi.methods.path_patching import path_patching
from tests.contract.test_invariants import count_hooks
from tests.networks import draw_tokens, gpt2, reference

SITES = [site.embed(), site.z(0, 1), site.pattern(1), site.mlp_out(1, at="last")]
SENDERS, RECEIVERS = [site.z(0, 1), site.mlp_out(0)], [site.q(1, 0), site.mlp_in(1)]
METHODS: dict[str, Callable[..., Any]] = {
    "activation_patching": partial(activation_patching, sites=SITES),
    "activation_patching-whole": partial(activation_patching, sites=SITES, resume=False),
    "path_patching": partial(path_patching, sender=SENDERS, receivers=RECEIVERS),
    "path_patching-frozen": partial(
        path_patching, sender=SENDERS, receivers=RECEIVERS, frozen="attn+mlp", ln="frozen", resume=False
    ),
    "ablate-mean": partial(ablate, sites=SITES[1::2], ablation=Mean()),
    "ablate-resample": partial(ablate, sites=SITES, ablation=Resample(), resume=False),
    "logit_lens": logit_lens,
    "direct_logit_attribution": direct_logit_attribution,
    "edge_scores-EAP": lambda *given, **how: cm.edge_scores(*given, method=cm.EAP(), **how),
    "edge_scores-EAPIG": lambda *given, **how: cm.edge_scores(*given, method=cm.EAPIG(steps=2), **how),
    "find_circuit": lambda *given, **how: searched(*given, **how).frame,
    "find_circuit-scores": lambda *given, **how: (
        searched(*given, method=cm.EAP(), select=cm.Smallest(0.5), metric="logit_diff", **how).frame
    ),
}


def searched(model: cm.Model, pairs: cm.CounterfactualPairs, **how: Any) -> cm.CircuitResult:
    """Of heads whole, which is quicker."""
    graph = cm.graph_of(model, split_qkv=False)
    return cm.find_circuit(model, pairs, **{"method": cm.ACDC(threshold=0.5), "graph": graph, "split": None, **how})


every_method = pytest.mark.parametrize("name", METHODS)


def pairs_of(n: int = 5) -> cm.CounterfactualPairs:
    answer, foil = torch.arange(n) % 3, torch.arange(n) % 3 + 3
    return cm.CounterfactualPairs.from_tokens(draw_tokens(n, 1), draw_tokens(n, 2), answer=answer, foil=foil)


def tensors_of(pairs: cm.CounterfactualPairs) -> list[Tensor]:
    parts = (pairs.base.values, pairs.base.mask, pairs.source.values, pairs.source.mask)
    return [*parts, pairs.base_labels, pairs.foil]


class Before:
    """What a network was before a method, to hold against what it is after."""

    def __init__(self, net: nn.Module):
        self.net, self.hooks = net, count_hooks(net)
        self.weights = {name: w.clone() for name, w in net.state_dict().items()}
        self.buffers = {name: b.clone() for name, b in net.named_buffers()}
        self.grads = [p.grad for p in net.parameters()]
        self.asked = [p.requires_grad for p in net.parameters()]
        self.training = [part.training for part in net.modules()]
        self.attention = net.config._attn_implementation
        self.state = torch.get_rng_state()

    def is_now(self) -> None:
        """Fails where something changed."""
        assert count_hooks(self.net) == self.hooks
        assert [part.training for part in self.net.modules()] == self.training
        assert self.net.config._attn_implementation == self.attention
        assert all(torch.equal(w, self.weights[name]) for name, w in self.net.state_dict().items())
        assert all(torch.equal(b, self.buffers[name]) for name, b in self.net.named_buffers())
        assert [p.grad for p in self.net.parameters()] == self.grads
        assert [p.requires_grad for p in self.net.parameters()] == self.asked
        assert torch.is_grad_enabled() and torch.equal(torch.get_rng_state(), self.state)


@every_method
@pytest.mark.parametrize("hooks", [0, 2])
def test_the_network_and_the_pairs_are_as_they_were(name: str, hooks: int) -> None:
    net, pairs = gpt2().train(), pairs_of()
    net.transformer.h[2].eval()  # modes differ, and each is to stay
    fired: list[str] = []
    if hooks:
        net.transformer.h[3].register_forward_hook(lambda *_: fired.append("out"))
        net.transformer.h[1].attn.register_forward_pre_hook(lambda *_: fired.append("in"))
    before, copies = Before(net), [x.clone() for x in tensors_of(pairs)]
    METHODS[name](cm.load_model(net), pairs, batch_size=3)
    before.is_now()
    assert before.hooks == hooks and len(set(fired)) == hooks
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(pairs), copies, strict=True))


@every_method
def test_an_error_in_the_middle_leaves_no_trace(name: str) -> None:
    """A submodule that fails at some call; after that the method gives what it gave before."""
    net, pairs = gpt2().train(), pairs_of()
    run = partial(METHODS[name], cm.load_model(net), pairs, batch_size=3)
    wanted, before, failed = run(), Before(net), 0
    for part, k in (("transformer.h.1.attn", 3), ("transformer.ln_f", 0)):
        module = net.get_submodule(part)

        def explode(*args: Any, left: list[int] = [k], forward: Any = module.forward, **kwargs: Any) -> Any:  # noqa: B006
            left[0] -= 1
            if left[0] < 0:
                raise ZeroDivisionError
            return forward(*args, **kwargs)

        module.forward = explode  # no hook, with which nothing is resumed
        try:
            run()
        except ZeroDivisionError:
            failed += 1
        finally:
            del module.forward
        before.is_now()
    assert failed >= 1
    assert run().equals(wanted)


@pytest.fixture
def counted() -> Iterator[None]:
    """Within, the collector knows only objects that were made since, which is quicker."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(x), Tensor) for x in gc.get_objects())  # isinstance would wake deprecated proxies


def resident() -> int:
    """Bytes of memory in use, those of tensors included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


SMALL: dict[str, tuple[Callable[..., Any], int]] = {
    "activation_patching": (partial(activation_patching, sites=SITES[1:3]), 100),
    "path_patching": (partial(path_patching, sender=SENDERS[0], receivers=RECEIVERS), 30),
    "ablate": (partial(ablate, sites=SITES[1], ablation=Mean()), 30),
    "logit_lens": (partial(logit_lens, metrics=["kl"]), 30),
    "direct_logit_attribution": (direct_logit_attribution, 30),
    "edge_scores": (partial(cm.edge_scores, method=cm.EAP(), metric="logit_diff"), 20),
    "find_circuit": (searched, 20),
}


@pytest.mark.usefixtures("counted")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to tell the memory in use")
@pytest.mark.parametrize("name", SMALL)
def test_memory_does_not_grow(name: str) -> None:
    """Not one object of any kind is left by each repetition, nor logits: those of a repetition have 0.3 MB."""
    model, pairs = cm.load_model(reference(n_layers=2, d_model=4, d_head=2, d_vocab_out=20_000).eval()), pairs_of(2)
    method, times = SMALL[name]
    for _ in range(3):
        method(model, pairs)
    tensors, objects, size = live_tensors(), len(gc.get_objects()), resident()
    for _ in range(times):
        method(model, pairs)
    assert live_tensors() == tensors
    assert len(gc.get_objects()) < objects + times / 2
    assert resident() < size + times * 0.15e6


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("make", [gpt2, reference])
def test_a_recording_is_freed_when_it_is_dropped(make: Callable[[], nn.Module]) -> None:
    model = cm.load_model(make())
    model.record(draw_tokens(2, 0))  # what is tried once is tried here
    before = live_tensors()
    recording = model.record(draw_tokens(2, 0), at="last")
    kept = [weakref.ref(recording.tape.final), *(weakref.ref(call.cache.keys) for call in recording.tape.calls)]
    value = torch.zeros(12 if make is reference else 24, dtype=torch.float64, requires_grad=True)
    swept = dict(recording.sweep([{site.z(1, 0): 0.0}, {site.resid_post(0, at=1): value}]))
    captured = recording.capture({site.z(0, 0): 0.5}, site.z(1))
    assert all(ref() is not None for ref in kept)
    gc.disable()  # no cycle holds them, so that memory is free at once
    try:
        del recording, swept, captured
        assert all(ref() is None for ref in kept)
    finally:
        gc.enable()
    del value
    assert live_tensors() == before
