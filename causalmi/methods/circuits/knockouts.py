"""Which edges, taken from a circuit and from the network alike, leave the two farthest apart? Three searches.

Wang et al. 2022 (arXiv:2211.00593), section 4.2, draw sets at random and greedily; a mask that is trained finds sets
that neither reaches.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from causalmi.methods.circuits.case import Case
from causalmi.rng import stream
from causalmi.spec.graph import Bools
from causalmi.stats.means import Floats

STEPS = 8  # edges that the greedy search takes out at most
TRAINING, RATE, START = 40, 0.3, 1.0  # steps and rate of Adam; logits at which every edge starts, 73 % kept

Search = Callable[[Case, Bools], Bools]


def gaps(case: Case, knocked: Iterable[Bools]) -> Floats:
    """The losses of C - K less those of M - K, float64 [m, n], for m sets K of edges."""
    sets = list(knocked)
    both = case.losses([case.array & ~k for k in sets] + [case.exists & ~k for k in sets])
    return both[: len(sets)] - both[len(sets) :]


def at_random(case: Case, rows: Bools) -> Bools:
    """The best of ``n_random`` sets of the circuit's edges, of every size alike."""
    rng, places = stream(case.how.seed, "knockouts", "random"), _places(case)
    sizes = rng.integers(1, len(places), size=case.how.n_random, endpoint=True)
    return _widest(case, [_set(case, rng.permutation(places)[:k]) for k in sizes], rows)[0]


def greedy(case: Case, rows: Bools) -> Bools:
    """Edge after edge, each time that which widens the gap most, of up to ``n_random`` that are drawn; up to 8.

    The best of the sets on the way, since one edge may narrow the gap that the next one opens.
    """
    rng, way = stream(case.how.seed, "knockouts", "greedy"), [(np.zeros_like(case.array), -np.inf)]
    for _ in range(min(STEPS, int(case.array.sum()))):
        last = way[-1][0]
        left = rng.permutation(np.flatnonzero(case.array & ~last))[: case.how.n_random]
        way.append(_widest(case, [last | _set(case, [place]) for place in left], rows))
    widest = max(gap for _, gap in way)
    return next(knocked for knocked, gap in way if gap >= widest - case.tolerance)


def trained(case: Case, rows: Bools) -> Bools:
    """A share kept of each edge, trained to widen the gap; then the best of its first 1, 2, 4, ... edges taken out."""
    places = _places(case)
    kept = torch.full((len(places),), START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([kept], lr=RATE)
    for _ in range(TRAINING):
        optimizer.zero_grad()
        kept.grad = _uphill(case, kept, rows)
        optimizer.step()
    order = places[np.argsort(kept.detach().numpy(), kind="stable")]
    sizes = [2**i for i in range(len(places).bit_length() - 1)] + [len(places)]
    return _widest(case, [_set(case, order[:k]) for k in sizes], rows)[0]


SEARCHES: Mapping[str, Search] = MappingProxyType({"random": at_random, "greedy": greedy, "trained": trained})


def _uphill(case: Case, kept: Tensor, rows: Bools) -> Tensor:
    """The gradient of -|mean gap|; summed over all batches before its sign is known, so that no batch has one."""
    total, gradient = 0.0, torch.zeros_like(kept)
    for batch in case.problem.batches():
        chosen = torch.from_numpy(rows[batch.rows])
        circuit, network = _masks(case, kept)
        gap = batch.loss(batch.net.run(circuit)) - batch.loss(batch.net.run(network))
        summed = gap.double().cpu()[chosen].sum()
        gradient += torch.autograd.grad(summed, kept)[0]
        total += float(summed.detach())
    return gradient * (-float(np.sign(total)) / max(1, int(rows.sum())))


def _masks(case: Case, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The shares kept of C - K and of M - K."""
    places = torch.from_numpy(_places(case))
    share = torch.sigmoid(kept)
    circuit = torch.zeros(case.array.size, dtype=torch.float64).index_put((places,), share)
    network = torch.from_numpy(case.exists.reshape(-1).astype(np.float64)).index_put((places,), share)
    return circuit.reshape(case.array.shape), network.reshape(case.array.shape)


def _widest(case: Case, sets: list[Bools], rows: Bools) -> tuple[Bools, float]:
    """The set with the widest gap over ``rows``, the first of equals, and that gap."""
    found = np.abs(gaps(case, sets)[:, rows].mean(1))
    best = int(np.argmax(found >= found.max() - case.tolerance))
    return sets[best], float(found[best])


def _places(case: Case) -> np.ndarray:
    return np.flatnonzero(case.array)


def _set(case: Case, places: Iterable[int]) -> Bools:
    chosen = np.zeros(case.array.size, dtype=bool)
    chosen[np.asarray(places, dtype=np.int64)] = True
    return chosen.reshape(case.array.shape)
