"""Which graph of edges does a network have? Its family's, at the grain that is asked for."""

from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.parts import refusal
from causalmi.models.places import matrix
from causalmi.spec.graph import Graph


def graph_of(
    adapter: Adapter,
    *,
    split_qkv: bool = True,
    split_embeddings: bool = False,
    neurons: bool = False,
    positions: tuple[str, ...] = (),
    split_groups: bool = False,
) -> Graph:
    """The graph of the network of ``adapter``.

    ``split_qkv``: queries, keys and values of a head read separately. ``split_embeddings``: token and position
    embeddings are senders apart. ``neurons``: every neuron of an MLP is a sender. ``positions``: names of classes of
    positions. ``split_groups``: heads that share keys and values read them separately. Raises ModelError for a network
    whose stream is no sum, or that has no embeddings of positions.
    """
    if problem := refusal(adapter):
        raise ModelError(f"{adapter.name} has no graph of edges: {problem}")
    assert isinstance(adapter, DecoderAdapter)
    shape, family = adapter.shape, adapter.family
    if split_embeddings and family.rotary is not None:
        raise ModelError(f"{adapter.name} turns queries and keys by their position and adds no embedding of it")
    width = 0
    if neurons and shape.has_mlp:
        width = int(matrix(adapter.blocks[0].get_submodule(family.mlp_down)).shape[0])
    return Graph(
        n_layers=shape.n_layers,
        n_heads=shape.n_heads,
        n_kv_heads=shape.n_heads if split_groups else shape.n_kv_heads,
        has_mlp=shape.has_mlp,
        parallel=family.parallel,
        split_qkv=split_qkv,
        inputs=("embed", "pos_embed") if split_embeddings else ("input",),
        neurons=width,
        positions=positions,
    )
