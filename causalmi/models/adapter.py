"""What must the engine know of a network? Where its sites are, how it is called, and what it looks like untrained."""

import copy
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from causalmi.errors import ModelError, SiteError
from causalmi.models.tap import Direct, Tap, first
from causalmi.rng import forked
from causalmi.spec.site import Site


class Adapter(ABC):
    """One network as the engine sees it; ``module`` is the user's own and is never changed."""

    def __init__(self, module: nn.Module, name: str):
        self.module, self.name = module, name
        self.whole: str | None = None  # why every run is a whole run, where replaying blocks was found not to hold
        self.tried: tuple[int, ...] | None = None  # the hooks with which replaying blocks was compared with a whole run
        self.probed: dict[tuple[int, ...], dict[str, tuple[int, ...]]] = {}  # shapes found by running, by input shape

    @property
    def device(self) -> torch.device:
        """Where the network's weights are; the CPU for a network without any."""
        tensors = (*self.module.parameters(), *self.module.buffers())
        return tensors[0].device if tensors else torch.device("cpu")

    @abstractmethod
    def check(self, values: Tensor) -> None:
        """Raise DataError for inputs that the network cannot take."""

    @abstractmethod
    def tap(self, site: Site) -> Tap:
        """Where ``site`` is; raises SiteError with the reason when the network does not have it."""

    @abstractmethod
    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """The network's logits for a batch; ``mask`` is True for real tokens."""

    @abstractmethod
    def untrained(self, seed: int) -> nn.Module:
        """A network of the same shape whose weights were drawn afresh; raises ModelError when there are none."""

    @abstractmethod
    def example(self) -> Tensor | None:
        """A small input on which the adapter can prove itself, or None when none can be made up."""

    @abstractmethod
    def every_site(self) -> tuple[Site, ...]:
        """All sites of the network, whole, in the order in which it computes them."""

    def pattern_in_the_open(self) -> AbstractContextManager[None]:
        """A context in which the attention weights pass through their taps."""
        return nullcontext()


class ModuleAdapter(Adapter):
    """Any ``nn.Module``: its submodules' outputs by path, and its own output as logits."""

    def __init__(self, module: nn.Module):
        super().__init__(module, type(module).__name__)

    def check(self, values: Tensor) -> None:
        pass  # only the module itself knows what it takes

    def tap(self, site: Site) -> Tap:
        return module_tap(self.module, site, self.name)

    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None and not bool(mask.all()):
            raise ModelError(
                f"{self.name} is called without a mask, so it cannot be given padded inputs; "
                "use inputs of one length, or the Transformer or a Hugging Face model"
            )
        dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), values.dtype)
        return first(self.module(values.to(dtype) if values.is_floating_point() else values))

    def untrained(self, seed: int) -> nn.Module:
        return redrawn(self.module, seed)

    def example(self) -> Tensor | None:
        return None

    def every_site(self) -> tuple[Site, ...]:
        return tuple(Site("module", path=path) for path, _ in self.module.named_modules() if path)


def module_tap(root: nn.Module, site: Site, name: str) -> Tap:
    """The tap of ``module(...)`` and ``logits()`` sites, which every network has."""
    if site.kind == "logits":
        return Direct(module=root, end="output")
    paths = [path for path, _ in root.named_modules() if path]
    if site.kind != "module":
        raise SiteError(
            f"{name} has no {site.kind}: it is a plain nn.Module; name a submodule, as in module({paths[0]!r})"
            if paths
            else f"{name} has no {site.kind}"
        )
    if site.path is None or site.path not in paths:
        raise SiteError(f"{name} has no submodule {site.path!r}; it has {shortened(paths)}")
    return Direct(module=root.get_submodule(site.path), end="output")


def shortened(names: list[str], most: int = 12) -> str:
    """``names`` as a list for a message, cut where it grows too long to read."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def redrawn(module: nn.Module, seed: int) -> nn.Module:
    """A copy of ``module`` whose parameters were drawn afresh.

    Submodules draw their own as they do when made; a parameter that no submodule draws gets its own entries in a random
    order, which keeps its scale.
    """
    if not any(True for _ in module.parameters()):
        raise ModelError(f"{type(module).__name__} has no weights, so it has no untrained counterpart")
    device = next(module.parameters()).device
    fresh = copy.deepcopy(module).cpu()  # drawn there, so that the seed gives the same on every device
    drawn: set[int] = set()
    with forked(seed, "untrained"), torch.no_grad():
        for part in fresh.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
                drawn.update(id(p) for p in part.parameters(recurse=False))
        for p in fresh.parameters():
            if id(p) not in drawn:
                p.copy_(p.flatten()[torch.randperm(p.numel())].view_as(p))
    return fresh.to(device)
