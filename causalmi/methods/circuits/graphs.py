"""Which graph does a model have, at the grain that is asked for?"""

from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model
from causalmi.errors import ModelError
from causalmi.models import graph as graphs
from causalmi.models.shape import Shape
from causalmi.spec.graph import Graph


def graph_of(
    model: Any,
    *,
    split_qkv: bool = True,
    split_embeddings: bool = False,
    neurons: bool = False,
    positions: tuple[str, ...] = (),
    split_groups: bool = False,
) -> Graph:
    """The graph of edges of ``model``, for searches and scores at another grain than heads and MLPs.

    ``split_qkv``: queries, keys and values of a head read separately. ``split_embeddings``: token and position
    embeddings are senders apart. ``neurons``: every neuron of an MLP is a sender. ``positions``: each edge is one for
    every class of positions: numbers ("0", "-1"), names of spans of the prompt, and "rest" for all others.
    ``split_groups``: heads that share keys and values read them separately, as in graphs of EAP-IG and MIB. Raises
    ModelError for a network whose stream is no sum of heads and MLPs, or that has no embeddings of positions.
    """
    adapter = (model if isinstance(model, Model) else load_model(model)).adapter
    return graphs.graph_of(
        adapter,
        split_qkv=split_qkv,
        split_embeddings=split_embeddings,
        neurons=neurons,
        positions=positions,
        split_groups=split_groups,
    )


def fits(graph: Graph, model: Model) -> None:
    """Raises ModelError unless ``graph`` is one of the network's."""
    own = graph_of(
        model,
        split_qkv=graph.split_qkv,
        split_embeddings=len(graph.inputs) > 1,
        neurons=bool(graph.neurons),
        positions=graph.positions,
        split_groups=graph.n_kv_heads == graph.n_heads,
    )
    if own != graph:
        raise ModelError(f"{model.name} has {own}, and was given {graph}; a circuit is of one network's graph")


def numbers(graph: Graph, model: Model, pairs: CounterfactualPairs) -> int:
    """How many numbers an example needs: what every head and MLP adds, at each position."""
    senders = graph.first(graph.n_layers) if not graph.neurons else graph.n_layers * (graph.n_heads + 4)
    shape: Shape = model.adapter.shape  # type: ignore[attr-defined]
    return max(1, senders * pairs.base.values.shape[1] * shape.d_model)
