"""How does a one-layer transformer add modulo 59? It was found to turn numbers into angles and to add those.

Of the embedding of a number the claims keep cos and sin at three frequencies, and of what the MLP adds cos and sin of
the sum. Those are estimates, least squares fits to the shipped network; what they leave over comes from other examples.
After Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

import causalmi as cm
from causalmi import site
from causalmi.testbeds.modular_sum import EQUALS, MODULUS

NETWORK = "modular-addition"
USED = "1 6 29"
PLACES = {"angle_a": site.embed(at=0), "angle_b": site.embed(at=1), "angle_sum": site.mlp_out(0, at=-1)}
Keys = tuple[int, ...]


def waves(number: int, keys: Keys) -> tuple[float, ...]:
    """The number's cos and sin at each frequency."""
    return tuple(float(f(2 * np.pi * k * number / MODULUS)) for k in keys for f in (np.cos, np.sin))


def added(angle_a: tuple[float, ...], angle_b: tuple[float, ...]) -> tuple[float, ...]:
    """The waves of the sum: (c + is)(c' + is') at each frequency, rounded so that equal sums are equal."""
    x, y = (np.array(angle[::2]) + 1j * np.array(angle[1::2]) for angle in (angle_a, angle_b))
    return tuple(round(float(part), 6) + 0.0 for z in x * y for part in (z.real, z.imag))


def nearest(angle: tuple[float, ...], keys: Keys) -> int:
    """The number whose waves are most like these."""
    return max(range(MODULUS), key=lambda c: sum(u * v for u, v in zip(angle, waves(c, keys), strict=True)))


def addition(keys: Keys) -> cm.Task:
    """The task; the answer is computed by way of angles."""
    model = cm.CausalModel(
        inputs={"a": range(MODULUS), "b": range(MODULUS)},
        mechanisms={
            "angle_a": lambda a: waves(a, keys),
            "angle_b": lambda b: waves(b, keys),
            "angle_sum": added,
            "answer": lambda angle_sum: nearest(angle_sum, keys),
        },
        output="answer",
    )
    return cm.Task(model, encode=lambda v: [v["a"], v["b"], EQUALS], label=lambda v: v["answer"], name="addition")


@cache
def fitted(variable: str, keys: Keys) -> Tensor:
    """What the network has at the variable's place, by number: a constant and waves, least squares, [59, d_model]."""
    pairs = [(a, b) for a in range(MODULUS) for b in range(MODULUS)]
    number = {"angle_a": lambda a, b: a, "angle_b": lambda a, b: b, "angle_sum": lambda a, b: (a + b) % MODULUS}
    place = PLACES[variable]
    found = cm.load_model(NETWORK).capture(torch.tensor([[a, b, EQUALS] for a, b in pairs]), [place])[place]
    waved = torch.tensor([[1.0, *waves(number, keys)] for number in range(MODULUS)], dtype=torch.float64)
    seen = waved[[number[variable](a, b) for a, b in pairs]]
    return (waved @ torch.linalg.lstsq(seen, found.double()).solution).to(found.dtype)


def angular(claim: str, keys: str, placed: Sequence[str], estimated: Sequence[str]) -> cm.Hypothesis:
    """A claim about angles at these frequencies: where they are ``placed``, and which of them are ``estimated``."""
    chosen = tuple(int(key) for key in keys.split())
    fits = {
        "angle_a": lambda setting: fitted("angle_a", chosen)[setting["a"]],
        "angle_b": lambda setting: fitted("angle_b", chosen)[setting["b"]],
        "angle_sum": lambda setting: fitted("angle_sum", chosen)[(setting["a"] + setting["b"]) % MODULUS],
    }
    return cm.Hypothesis(
        claim=f"{claim}, at the frequencies {', '.join(map(str, chosen))}",
        task=addition(chosen),
        model=NETWORK,
        alignment={variable: PLACES[variable] for variable in placed},
        estimates={variable: fits[variable] for variable in estimated},
        rule=cm.AtLeast(recovered=0.99),
    )


@cm.hypothesis
def angles(keys: str = USED) -> cm.Hypothesis:
    """The embeddings of both numbers matter by three frequencies alone."""
    both = ("angle_a", "angle_b")
    return angular("of the embeddings of the numbers only cos and sin matter", keys, both, both)


@cm.hypothesis
def other_angles(keys: str = "2 5 17") -> cm.Hypothesis:
    """The same with frequencies that the network does not use; false."""
    return angles.make(keys)


@cm.hypothesis
def angle_of_sum(keys: str = USED) -> cm.Hypothesis:
    """What the MLP adds matters by the angle of the sum alone."""
    one = ("angle_sum",)
    return angular("of what the MLP adds only cos and sin of the sum matter", keys, one, one)


@cm.hypothesis
def angles_to_sum(keys: str = USED) -> cm.Hypothesis:
    """The sum that the MLP adds is computed from the angles of the numbers, whichever numbers add up to it."""
    claim = "what the MLP adds carries the sum, and is computed from cos and sin of the numbers"
    return angular(claim, keys, tuple(PLACES), ("angle_a", "angle_b"))
