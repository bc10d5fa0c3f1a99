"""Which places can a change at a place reach? The order in which a decoder computes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from causalmi.spec.site import Site

# The order within a block. Heads of one layer do not read each other, and a pattern is not computed from values.
STAGES = ("resid_pre", "q", "pattern", "z", "attn_out", "resid_mid", "mlp_in", "mlp_hidden", "mlp_out", "resid_post")
SENDING = {"k": "q", "v": "pattern"}
READING = {"k": "q", "v": "q"}
ATTENTION, MLP = ("q", "k", "v", "pattern", "z", "head_out", "attn_out"), ("mlp_in", "mlp_hidden", "mlp_out")
OUTSIDE = {"embed": (-1.0, 0), "final_norm": (float("inf"), 0), "logits": (float("inf"), 1)}


def one_name(site: Site) -> Site:
    """The site by which the same numbers are edited: z for a head's output, resid_post between blocks.

    >>> one_name(Site("head_out", 5, 5)), one_name(Site("resid_pre", 2))
    (z(5, 5), resid_post(1))
    """
    if site.kind == "head_out" and not site.projected:  # directions and features of the stream are none of z
        return replace(site, kind="z")
    if site.kind == "resid_pre" and site.layer:
        return replace(site, kind="resid_post", layer=site.layer - 1)
    return site


def reaches(sender: Site, site: Site, *, parallel: bool = False) -> bool:
    """Whether what is at ``sender`` goes, however indirectly, into what is at ``site``; positions and heads aside.

    In ``parallel`` blocks the MLP does not read its own layer's attention.
    """
    if parallel and sender.layer == site.layer and sender.kind in ATTENTION and site.kind in MLP:
        return False
    return _place(sender, SENDING) < _place(site, READING)


def between(sender: Site, frozen: Iterable[Site], receivers: Sequence[Site]) -> tuple[Site, ...]:
    """Those of ``frozen`` that ``sender`` reaches and that reach a receiver: freezing any other changes nothing.

    What the sender's own attention or MLP gives is left out too, for its value leaves through it.
    """
    after = [f for f in frozen if reaches(sender, f) and not _own(sender, f)]
    return tuple(f for f in after if any(reaches(f, r) for r in receivers))


def _own(sender: Site, site: Site) -> bool:
    return sender.layer == site.layer and any(sender.kind in part and site.kind in part for part in (ATTENTION, MLP))


def _place(site: Site, role: Mapping[str, str]) -> tuple[float, int]:
    site = one_name(replace(site, basis=None, featurizer=None, chosen=None))
    kind = role.get(site.kind, site.kind)
    return OUTSIDE[kind] if site.layer is None else (site.layer, STAGES.index(kind))
