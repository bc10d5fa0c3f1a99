"""What does the network give when only some paths carry another input? Three passes (Wang et al. 2022)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from causalmi.engine.recording import Recording
from causalmi.methods.path_order import between, one_name
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site

CHUNK = 32  # senders whose receivers' values are kept at a time
Values = Mapping[Site, Tensor]
STREAMS = ("resid_pre", "resid_mid", "resid_post")
MLP = ("mlp_in", "mlp_hidden")


@dataclass(frozen=True)
class Route:
    """Which paths count: those to ``receivers`` that pass through none of ``frozen``.

    With ``linear`` the norm that a receiver reads through keeps the scale of the clean run.
    """

    receivers: tuple[Site, ...]
    frozen: tuple[Site, ...]
    linear: bool = False

    def freezes(self, sender: Site) -> tuple[Site, ...]:
        """The frozen sites that matter for ``sender``."""
        return between(sender, self.frozen, self.receivers)


def three_passes(
    clean: Recording, donor: Recording, senders: Sequence[Site], route: Route
) -> Iterator[tuple[int, Tensor]]:
    """For each sender its number, and the logits of ``clean`` where the paths from it carry its value in ``donor``.

    Pass 1 captures the donor's values at the senders and the clean ones at the frozen sites. Pass 2 runs the clean
    inputs with the sender's value from the donor and the frozen sites clean, and records the receivers. Pass 3 runs the
    clean inputs with the receivers so.
    """
    named = [one_name(sender) for sender in senders]
    given = donor.capture({}, dict.fromkeys(named))
    keep = clean.capture({}, dict.fromkeys(site for sender in named for site in route.freezes(sender)))
    record = Linear(clean, route) if route.linear else Plain(clean, route)
    for start in range(0, len(named), CHUNK):
        chunk = named[start : start + CHUNK]
        edits = [{s: given[s], **{site: keep[site] for site in route.freezes(s)}} for s in chunk]
        for number, logits in clean.sweep([record(each) for each in edits]):
            yield start + number, logits


class Plain:
    """Records the receivers as they are in pass 2, their norms recomputed."""

    def __init__(self, clean: Recording, route: Route):
        self.clean, self.receivers = clean, tuple(map(one_name, route.receivers))

    def __call__(self, edits: Values) -> Values:
        """The edits of pass 3."""
        return self.clean.capture(edits, self.receivers)


class Linear:
    """Records the receivers through norms whose scale is the clean run's.

    A stream is recorded as it is. For any other receiver the change of the stream before its norm is recorded and goes
    through the frozen norm, and the network's own modules go on from there: to q, k, v, the pattern, MLP or logits.
    """

    def __init__(self, clean: Recording, route: Route):
        adapter = clean.adapter
        assert isinstance(adapter, DecoderAdapter)
        self.clean = clean
        self.plain = [one_name(r) for r in route.receivers if r.kind in STREAMS]
        normed = [r for r in route.receivers if r.kind not in STREAMS]
        self.carriers = dict.fromkeys(map(_carrier, normed))
        places = {_norm_site(adapter, r): (_norm(adapter, r), _stream(adapter, r)) for r in normed}
        self.streams = {site: stream for site, (_, stream) in places.items()}
        self.before = clean.capture({}, dict.fromkeys((*self.streams, *self.streams.values())))
        self.norms = {site: adapter.frozen_norm(norm, self.before[stream]) for site, (norm, stream) in places.items()}

    def __call__(self, edits: Values) -> Values:
        """The edits of pass 3."""
        found = self.clean.capture(edits, dict.fromkeys((*self.plain, *self.streams.values())))
        recorded = {site: found[site] for site in self.plain}
        after = {site: self._moved(site, found[stream]) for site, stream in self.streams.items()}
        return recorded | dict(self.clean.capture(after, self.carriers)) if after else recorded

    def _moved(self, site: Site, stream: Tensor) -> Tensor:
        """The norm's clean output and the change, so that no change gives the clean output to the last digit."""
        norm = self.norms[site]
        return self.before[site] + norm(stream) - norm(self.before[self.streams[site]])


def _carrier(receiver: Site) -> Site:
    """Where a receiver's value is set in pass 3: after its norm, since before it the norm would be recomputed."""
    return replace(receiver, kind="mlp_out") if receiver.kind == "mlp_in" else one_name(receiver)


def _stream(adapter: DecoderAdapter, receiver: Site) -> Site:
    """The stream, all of it, that the receiver's norm reads."""
    if receiver.layer is None:
        return Site("resid_post", adapter.shape.n_layers - 1)
    before_mlp = receiver.kind in MLP and not adapter.family.parallel
    return one_name(Site("mlp_in" if before_mlp else "resid_pre", receiver.layer))


def _norm(adapter: DecoderAdapter, receiver: Site) -> nn.Module:
    kind = "logits" if receiver.layer is None else "mlp_in" if receiver.kind in MLP else "q"
    return adapter.norm_of(kind, receiver.layer)


def _norm_site(adapter: DecoderAdapter, receiver: Site) -> Site:
    if receiver.layer is None:
        return Site("final_norm")
    norm = _norm(adapter, receiver)
    return next(Site("module", path=path) for path, module in adapter.module.named_modules() if module is norm)
