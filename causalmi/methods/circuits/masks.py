"""Which edges does a trained mask keep? Subnetwork probing, edge pruning, uniform gradient sampling.

Cao et al. 2021 with Conmy et al. 2023; Bhaskar et al. 2024; Li & Janson 2024.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from causalmi.errors import SpecError
from causalmi.methods.circuits.training import Gradient, Logits, MaskScorer, Setting, derivative, through_mask
from causalmi.methods.hard_concrete import SHIFT, log_alpha_of, uniform

START = 0.9  # the probability that an edge is kept, before training


@dataclass(frozen=True, kw_only=True)
class SubnetworkProbing(MaskScorer):
    """Hard concrete masks of edges that make mean loss + penalty * (expected share of edges kept) small.

    An edge's score is the log odds that it is kept. Scores order edges; they are no effects.
    """

    steps: int = 200
    rate: float = 0.1
    penalty: float = 1.0

    def _problems(self) -> list[str]:
        return [] if self.penalty >= 0 else [f"penalty is {self.penalty!r}, it must be at least 0"]

    def _start(self, setting: Setting) -> Logits:
        return torch.full(setting.exists.shape, log_alpha_of(START), dtype=torch.float64)

    def _gradient(self, setting: Setting) -> Gradient:
        return lambda logits, step: through_mask(setting, logits, lambda share: self.penalty * share)

    def _scores(self, logits: Logits, setting: Setting) -> Tensor:
        return logits - SHIFT


@dataclass(frozen=True, kw_only=True)
class EdgePruning(MaskScorer):
    """Hard concrete masks of edges whose expected share left out, s, is led to that of a circuit of ``edges`` edges.

    loss + l1 (s - t) + l2 (s - t)^2, in which l1 and l2 rise along their derivatives from 0, and t goes from 0 to
    1 - edges / all over the first half of the steps. Scores are shifted so that exactly ``edges`` of them are above 0;
    they order edges and are no effects. The masks of nodes that the paper multiplies in are left out. Raises SpecError
    where the graph has fewer edges.
    """

    edges: int
    steps: int = 200
    rate: float = 0.1

    def _problems(self) -> list[str]:
        return [] if self.edges >= 1 else [f"edges is {self.edges!r}, it must be at least 1"]

    def _start(self, setting: Setting) -> Logits:
        """With a little noise, as in the paper: masks that start alike would be told apart by the first draws alone."""
        if (total := int(setting.exists.sum())) < self.edges:
            raise SpecError("EdgePruning", [f"edges is {self.edges}, and {setting.problem.graph} has {total}"])
        noise = torch.randn(setting.exists.shape, generator=setting.generator, dtype=torch.float64)
        return log_alpha_of(START) + 0.01 * noise

    def _gradient(self, setting: Setting) -> Gradient:
        target = 1 - self.edges / int(setting.exists.sum())
        price = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # l1, l2
        rise = torch.optim.Adam([price], lr=self.rate, maximize=True)

        def gradient(logits: Logits, step: int) -> Tensor:
            t = target * min(1.0, 2 * (step + 1) / self.steps)
            now = price.detach().clone()

            def penalty(share: Tensor) -> Tensor:
                off = 1 - share - t
                price.grad = torch.stack([off.detach(), off.detach() ** 2])
                return now[0] * off + now[1] * off**2

            found = through_mask(setting, logits, penalty)
            rise.step()
            return found

        return gradient

    def _scores(self, logits: Logits, setting: Setting) -> Tensor:
        order = logits[setting.exists].sort(descending=True).values
        last = order[self.edges] if self.edges < len(order) else order[-1] - 1
        return logits - (order[self.edges - 1] + last) / 2


@dataclass(frozen=True, kw_only=True)
class SampledMasks(MaskScorer):
    """Probabilities p of keeping each edge that make E[loss] + penalty * (mean p) small, by uniform gradient sampling.

    In each step an edge is kept to a share drawn from (0, 1) with probability p (1 - p), else kept whole with
    probability p. The derivative at such a share, times p (1 - p) over the probability of the draw, estimates that with
    respect to log p / (1 - p), which is the score. Scores order edges; they are no effects.
    """

    steps: int = 400
    rate: float = 0.1
    penalty: float = 1.0

    def _problems(self) -> list[str]:
        return [] if self.penalty >= 0 else [f"penalty is {self.penalty!r}, it must be at least 0"]

    def _start(self, setting: Setting) -> Logits:
        p = torch.full(setting.exists.shape, START, dtype=torch.float64)
        return torch.logit(p)

    def _gradient(self, setting: Setting) -> Gradient:
        edges = int(setting.exists.sum())

        def gradient(logits: Logits, step: int) -> Tensor:
            p = torch.sigmoid(logits)
            partly, whole, share = (uniform(tuple(p.shape), setting.generator) for _ in range(3))
            chosen, spread = partly < p * (1 - p), p * (1 - p)
            keep = torch.where(chosen, share, (whole < p).to(p))
            return derivative(setting.problem, keep) * chosen + self.penalty * spread / edges

        return gradient
