"""Is every part of a network looked at, each once, and is what changes in it seen?"""

import torch
from torch import nn

from causalmi.engine.state import evaluating, parts, state


def network() -> nn.Module:
    shared = nn.Linear(2, 2)
    net = nn.Sequential(nn.Sequential(shared, nn.Dropout()), nn.ModuleDict({"a": shared, "b": nn.Linear(2, 2)}))
    net.register_module("nothing", None)
    return net


def test_parts_are_the_modules_each_once() -> None:
    net = network()
    found = parts(net)
    assert len(found) == len(set(found)) == len(list(net.modules()))
    assert set(found) == set(net.modules())
    assert found[0] is net


def test_every_change_is_seen() -> None:
    net = network()
    inner = net[1]["b"]  # type: ignore[index]
    before = state(net)
    assert state(net) == before
    handle = inner.register_forward_hook(lambda *_: None)
    assert state(net) != before
    handle.remove()
    assert state(net) == before
    with torch.no_grad():
        inner.weight += 1
    assert state(net) != before
    before = state(net)
    inner.weight = nn.Parameter(inner.weight.detach().clone())
    assert state(net) != before
    before = state(net)
    net[1]["b"] = nn.Linear(2, 2)  # type: ignore[operator,index]
    assert state(net) != before


def test_modes_come_back() -> None:
    net = network()
    net[0].eval()  # the shared part with it
    before = [part.training for part in net.modules()]
    with evaluating(net):
        assert not any(part.training for part in net.modules())
    assert [part.training for part in net.modules()] == before
    assert True in before and False in before
