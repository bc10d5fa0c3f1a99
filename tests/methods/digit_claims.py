"""A claim about small random networks that read five digits: none is right, and every number has a slow oracle."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi import site
from causalmi.engine.run import Run
from tests.networks import gpt2, llama, reference

DIGITS = range(10)
NAMES = ("a", "b", "c", "d", "e")
NETWORKS: dict[str, Callable[[], nn.Module]] = {"gpt2": gpt2, "llama": llama, "reference": reference}
PLACES = {"s": site.resid_post(0, at=1), "t": site.resid_post(1, at=2), "u": site.z(1, 1, at=3)}


def read(x: Tensor) -> Tensor:
    """Numbers as digits, in a way that any change shows."""
    return (x.sum(1) * 5).floor().long() % 10


def graph() -> cm.CausalModel:
    return cm.CausalModel(
        dict.fromkeys(NAMES, DIGITS),
        {
            "s": lambda a, b: (a + b) % 10,
            "t": lambda s, c: (s + c) % 10,
            "u": lambda d: (3 * d) % 10,
            "out": lambda t, u, s, e: (t + u + s + e) % 7,
        },
        "out",
    )


def claim(*variables: str, given: bool = True, **more: Any) -> cm.Hypothesis:
    task = cm.Task(graph(), encode=lambda s: [s[name] for name in NAMES], label=lambda s: s["out"])
    rule = cm.AtLeast(iia=0.0, above_control=0.0)  # random networks are tested all the same
    readouts = dict.fromkeys(variables, read) if given else {}
    places = {v: PLACES[v] for v in variables}
    return cm.Hypothesis(claim="x", task=task, alignment=places, readouts=readouts, rule=rule, **more)


def alone(model: cm.Model, setting: Any, edits: dict[Any, Tensor] | None = None, read: Any = ()) -> Run:
    """One example, run by itself."""
    return model.run(torch.tensor([[setting[name] for name in NAMES]]), edits=edits or {}, read=read)


def answer(model: cm.Model, logits: Tensor) -> int:
    """The answer to one example, at the position that the network itself reads or at the last."""
    return int((logits[0, -1] if logits.ndim == 3 else logits[0]).argmax())


def rows(pairs: cm.CounterfactualPairs) -> list[tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
    """The drawn settings, pair by pair."""
    drawn = pairs.drawn
    sources = {v: table.to_dict("records") for v, table in drawn.sources.items()}
    return [(base, {v: sources[v][i] for v in sources}) for i, base in enumerate(drawn.base.to_dict("records"))]
