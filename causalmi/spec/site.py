"""Where in a network is a variable said to live? One function for each kind of place; each returns a frozen `Site`.

The values at a site have the axes [batch, position, head, width]; an axis that the kind does not have, or that a single
index selects, is absent. ``place.along(directions)`` means only the coordinates along some directions of the width, a
subspace; ``place.features(featurizer, which)`` some of its features. A network's own adapter says whether it has the
site.
"""

from collections.abc import Iterable
from typing import Any

from causalmi.spec.basis import Basis
from causalmi.spec.site_grid import Grid, grid
from causalmi.spec.site_parse import parse
from causalmi.spec.site_type import HEAD_KINDS, KINDS, LAYER_KINDS, Position, Site, make

__all__ = [*KINDS, "HEAD_KINDS", "KINDS", "LAYER_KINDS", "Basis", "Grid", "Position", "Site", "grid", "parse"]


def embed(*, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The token embeddings, [batch, pos, d_model], before any position is added."""
    return make("embed", at=at, neurons=neurons)


def resid_pre(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The residual stream that enters block ``layer``, [batch, pos, d_model]."""
    return make("resid_pre", layer, at=at, neurons=neurons)


def resid_mid(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The residual stream between attention and MLP of block ``layer``, [batch, pos, d_model]."""
    return make("resid_mid", layer, at=at, neurons=neurons)


def resid_post(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The residual stream that leaves block ``layer``, [batch, pos, d_model]."""
    return make("resid_post", layer, at=at, neurons=neurons)


def attn_out(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """What attention of block ``layer`` adds to the stream, output bias included, [batch, pos, d_model]."""
    return make("attn_out", layer, at=at, neurons=neurons)


def mlp_in(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The stream as the MLP alone reads it, before its norm: an edit here leaves the stream itself as it was."""
    return make("mlp_in", layer, at=at, neurons=neurons)


def mlp_hidden(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The MLP's neurons after the nonlinearity (and gate), [batch, pos, d_mlp]."""
    return make("mlp_hidden", layer, at=at, neurons=neurons)


def mlp_out(layer: int, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """What the MLP of block ``layer`` adds to the stream, bias included, [batch, pos, d_model]."""
    return make("mlp_out", layer, at=at, neurons=neurons)


def final_norm(*, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The output of the last norm, which the unembedding reads, [batch, pos, d_model]."""
    return make("final_norm", at=at, neurons=neurons)


def logits(*, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The network's output, [batch, pos, d_vocab] (or [batch, classes])."""
    return make("logits", at=at, neurons=neurons)


def head_out(layer: int, head: Any = None, *, at: Position = None) -> Site:
    """What a head adds to the residual stream, z W_O without the bias, [batch, pos, head, d_model]."""
    return make("head_out", layer, head, at=at)


def z(layer: int, head: Any = None, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """A head's attention-weighted values, before the output projection, [batch, pos, head, d_head]."""
    return make("z", layer, head, at=at, neurons=neurons)


def q(layer: int, head: Any = None, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """A head's queries, before any rotary embedding, [batch, pos, head, d_head]."""
    return make("q", layer, head, at=at, neurons=neurons)


def k(layer: int, head: Any = None, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """A key-value head's keys, before any rotary embedding, [batch, pos, kv head, d_head]."""
    return make("k", layer, head, at=at, neurons=neurons)


def v(layer: int, head: Any = None, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """A key-value head's values, [batch, pos, kv head, d_head]."""
    return make("v", layer, head, at=at, neurons=neurons)


def pattern(layer: int, head: Any = None, *, at: Position = None) -> Site:
    """Attention weights, [batch, query position, head, key position]; ``at`` selects queries."""
    return make("pattern", layer, head, at=at)


def module(path: str, *, at: Position = None, neurons: Iterable[int] | None = None) -> Site:
    """The output of any submodule, by its dotted path, [batch, ...]; ``at`` selects entries of axis 1."""
    return make("module", at=at, neurons=neurons, path=path)
