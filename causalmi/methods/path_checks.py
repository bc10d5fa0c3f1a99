"""Can these paths be patched? Every mistake in what was asked is found before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from causalmi.data.inputs import Inputs
from causalmi.engine.load import load_model
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.errors import ModelError, SiteError, SpecError
from causalmi.methods.path_order import one_name, reaches
from causalmi.methods.path_passes import Route
from causalmi.models.decoder import DecoderAdapter, Shape
from causalmi.models.family import Family
from causalmi.spec.site import Grid, Site

RECEIVERS = (
    "q", "k", "v", "pattern", "mlp_in", "mlp_hidden", "resid_pre", "resid_mid", "resid_post", "final_norm", "logits",
)  # fmt: skip
FROZEN: dict[str, tuple[str, ...]] = {"none": (), "attn": ("z",), "attn+mlp": ("z", "mlp_out")}
ALLOWED = {"ln": ("recompute", "frozen"), "direction": ("noise", "denoise")}
NOWHERE = "a module has no place in the network's order; name a site by its kind"


def decoder(model: Any) -> tuple[Model, DecoderAdapter]:
    """The network and its adapter; raises ModelError when the order of its parts is not known."""
    model = load_model(model)
    if not isinstance(model.adapter, DecoderAdapter):
        raise ModelError(
            f"{model.name} is addressed by module paths alone, and paths need a decoder whose layers are known; "
            "patch its modules with activation_patching"
        )
    return model, model.adapter


def senders_of(model: Model, sender: Any, receivers: Sequence[Any], *, parallel: bool) -> list[Any]:
    """The senders as a list; of a grid those that reach a receiver, if there are any."""
    if not isinstance(sender, Grid):
        return list(sender) if isinstance(sender, list | tuple) else [sender]
    spanned, known = model.sites(sender), [r for r in receivers if isinstance(r, Site) and r.kind != "module"]
    return [s for s in spanned if any(reaches(s, r, parallel=parallel) for r in known)] or list(spanned)


def one_or_more(model: Model, sites: Any) -> tuple[Any, ...]:
    """A site, several, or those that a grid spans."""
    if isinstance(sites, Grid):
        return model.sites(sites)
    return tuple(sites) if isinstance(sites, list | tuple) else (sites,)


def receivers_of(adapter: DecoderAdapter, receivers: Sequence[Site]) -> tuple[Site, ...]:
    """The receivers, the logits of a position as what they are computed from: the final norm, or the last stream."""
    last = Site("resid_post", adapter.shape.n_layers - 1) if adapter.family.final_norm is None else Site("final_norm")
    one = adapter.readout_position is not None  # then logits have no positions to name
    whole = [
        r.kind == "logits" and r.neurons is None and not r.projected and not (one and r.at is not None)
        for r in receivers
    ]
    return tuple(replace(last, at=r.at) if w else r for r, w in zip(receivers, whole, strict=True))


def frozen_sites(frozen: Any, shape: Shape) -> tuple[Site, ...]:
    """The sites that ``frozen`` means in a decoder of this shape."""
    if not isinstance(frozen, str):
        return tuple(dict.fromkeys(map(one_name, frozen)))
    kinds = [kind for kind in FROZEN[frozen] if kind != "mlp_out" or shape.has_mlp]
    return tuple(Site(kind, layer) for layer in range(shape.n_layers) for kind in kinds)


def check_paths(senders: Sequence[Any], receivers: Sequence[Any], how: Mapping[str, Any], family: Family) -> None:
    """Raises SpecError with everything that is wrong with the question."""
    problems = _of_sites("sender", senders) + _of_sites("receiver", receivers) + _of_frozen(how["frozen"])
    problems += [
        f"{name} is {how[name]!r}; give one of {', '.join(map(repr, allowed))}"
        for name, allowed in ALLOWED.items()
        if how[name] not in allowed
    ]
    problems = problems or _of_receivers(receivers)
    if not problems and how["ln"] == "frozen":
        problems = _of_norms(receivers, how["frozen"], family)
    problems = problems or [
        f"no path leads from {s} to {', '.join(map(str, receivers))}; a sender comes before a receiver"
        for s in senders
        if not any(reaches(s, r, parallel=family.parallel) for r in receivers)
    ]
    if problems:
        raise SpecError("path_patching", problems)


def _of_sites(role: str, sites: Sequence[Any]) -> list[str]:
    if not sites:
        return [f"there is no {role}; give at least one site"]
    strange = [
        f"the {role} {s!r} is no site; make one with causalmi.site, or with site.parse from text"
        for s in sites
        if not isinstance(s, Site)
    ]
    return strange or [f"the {role} {s}: {NOWHERE}" for s in sites if s.kind == "module"]


def _of_frozen(frozen: Any) -> list[str]:
    if isinstance(frozen, list | tuple):
        return _of_sites("frozen site", frozen) if frozen else []
    if isinstance(frozen, str) and frozen in FROZEN:
        return []
    return [f"frozen is {frozen!r}; give one of {', '.join(map(repr, FROZEN))}, or a list of sites"]


def _of_receivers(receivers: Sequence[Site]) -> list[str]:
    problems = [
        f"the receiver {r} is not what a node reads; give one of {', '.join(RECEIVERS)}"
        for r in receivers
        if r.kind not in RECEIVERS
    ]
    last = [r for r in receivers if r.kind in ("final_norm", "logits")]
    if last and len(receivers) > 1:
        problems.append(f"the receiver {last[0]} comes after all others and would undo them; patch it alone")
    return problems


def _of_norms(receivers: Sequence[Site], frozen: Any, family: Family) -> list[str]:
    if frozen != "attn+mlp":
        return [
            "ln='frozen' goes with frozen='attn+mlp' alone: on longer paths heads and MLPs read through norms of their "
            "own, and freezing only the receivers' would mean neither"
        ]
    if family.post_norm:
        return [f"the {family.name} family norms the stream itself, so no edge is linear; use ln='recompute'"]
    parts = [r for r in receivers if r.kind == "mlp_in" and (r.neurons is not None or r.projected)]
    return [f"{r}: ln='frozen' sets what follows the norm, which mixes all entries; leave them out" for r in parts]


def batch_of(
    model: Model, inputs: Inputs, donors: Inputs, senders: Sequence[Site], route: Route, batch_size: int | None
) -> int:
    """How many pairs a batch has; raises SiteError, PositionError or DataError for places that are not there."""
    same = inputs.lengths.equal(donors.lengths) and inputs.starts.equal(donors.starts)
    here, there = locate(model.adapter, inputs, senders), locate(model.adapter, donors, senders)
    for site in senders:
        if here[site].shape != there[site].shape or (here[site].sequence and not same):
            raise SiteError(
                f"the sender {site} has other positions in bases than in sources, which have unequal lengths; "
                "name a position with at=, or give prompts of one length"
            )
    plan(model, inputs, edits=dict.fromkeys(route.frozen, 0.0))
    return plan(model, inputs, edits=dict.fromkeys(route.receivers, 0.0), batch_size=batch_size).batch_size
