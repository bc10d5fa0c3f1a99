"""On a GPU the engine gives what it gives on the CPU: whole path, sites by module path, attention weights, controls."""

import pytest
import torch

import causalmi as cm
from causalmi import site
from tests.featurizers import KINDS, Kind
from tests.networks import Network, every_decoder, every_network, llama

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@every_network
def test_the_same_numbers_as_on_the_cpu(network: Network) -> None:
    here, there = (cm.load_model(network.make(), device=device) for device in ("cpu", "cuda"))
    base, source = network.draw(3, 1), network.draw(3, 2)
    places = [p for p in here.sites() if p.kind not in ("head_out", "module")] or [site.module("layer1")]
    for place in places:
        value = here.run(source, read=[place])[place]
        torch.testing.assert_close(there.run(source, read=[place])[place].cpu(), value)
        edited = [m.run(base, edits={place: value}).logits.cpu() for m in (here, there)]
        torch.testing.assert_close(*edited)


@every_decoder
def test_runs_from_a_recording_are_those_on_the_cpu(network: Network) -> None:
    tokens = network.draw(3, 1)
    places = [site.resid_post(0, at=1), site.z(1, 0), site.pattern(1, 1, at=-1)]
    found = []
    for device in ("cpu", "cuda"):
        model = cm.load_model(network.make(), device=device)
        values = model.capture(network.draw(3, 2), places)
        recording = model.record(tokens, at="last")
        assert recording.tape is not None
        found.append([logits.cpu() for _, logits in sorted(recording.sweep([{p: values[p]} for p in places]))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_an_interchange_test_ends_in_the_same_result() -> None:
    from tests.methods.test_interchange import HALVES, equality

    results = [
        cm.interchange_test(equality(HALVES), cm.load_model("equality-handcrafted", device=d)) for d in ("cpu", "cuda")
    ]
    assert results[0].to_dict() == results[1].to_dict()


def test_a_scrub_draws_the_same_and_ends_in_the_same_result() -> None:
    from tests.methods.scrubbing.claims import claim

    told = claim("gpt2", {"s": site.resid_post(0, at=1), "t": site.z(1, 0, at=-1)})
    here, there = (cm.scrub(told, cm.load_model(told.model, device=d), n=40) for d in ("cpu", "cuda"))
    assert here.nodes.equals(there.nodes)
    assert list(here.frame["scrubbed"]) == pytest.approx(list(there.frame["scrubbed"]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_a_featurizer_of_the_cpu_serves_a_network_on_the_gpu(kind: Kind) -> None:
    tokens, some = torch.arange(15).view(3, 5) % 10, site.resid_post(1, at=-1).features(kind.make(32), (1, 0))
    here, there = (cm.load_model(llama(), device=device) for device in ("cpu", "cuda"))
    own = there.capture(tokens, some)[some]
    torch.testing.assert_close(own.cpu(), here.capture(tokens, some)[some])
    edited = [m.run(tokens, edits={some: own.cpu() + 1}).logits.cpu() for m in (here, there)]
    torch.testing.assert_close(*edited)
