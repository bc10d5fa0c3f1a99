"""Graphs of all kinds, small enough to look at every path, and every path of a circuit by hand."""

from hypothesis import strategies as st

from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph

PLAIN = Graph(n_layers=2, n_heads=2)
GRAPHS = {
    "plain": PLAIN,
    "parallel": Graph(n_layers=2, n_heads=2, parallel=True),
    "attention": Graph(n_layers=2, n_heads=2, has_mlp=False),
    "groups": Graph(n_layers=2, n_heads=4, n_kv_heads=2),
    "three in a group": Graph(n_layers=1, n_heads=3, n_kv_heads=1),
    "heads": Graph(n_layers=2, n_heads=2, split_qkv=False),
    "inputs": Graph(n_layers=1, n_heads=2, inputs=("embed", "pos_embed")),
    "neurons": Graph(n_layers=2, n_heads=1, neurons=3),
    "positions": Graph(n_layers=2, n_heads=1, positions=("subject", "last")),
}


def some_circuit(graph: Graph) -> st.SearchStrategy[Circuit]:
    return st.lists(st.sampled_from(graph.edges), unique=True, max_size=14).map(lambda edges: Circuit(graph, edges))


circuits = st.sampled_from(list(GRAPHS.values())).flatmap(some_circuit)


def nodes_behind(graph: Graph, receiver: str) -> list[str]:
    if receiver == "logits":
        return ["logits"]
    layer, _, rest = receiver.partition(".")
    if layer[0] == "m":
        return [f"{layer}.n{n}" for n in range(graph.neurons)] or [layer]
    number, size = int(rest.split("<")[0][1:]), graph.n_heads // graph.n_kv_heads
    return [f"{layer}.h{h}" for h in (range(number * size, (number + 1) * size) if rest[0] == "g" else [number])]


def on_paths(circuit: Circuit) -> set[Edge]:
    """The edges on paths from an input to the logits, walked one by one."""
    found: set[Edge] = set()

    def walk(node: str, at: str | None, path: tuple[Edge, ...]) -> None:
        if node == "logits":
            found.update(path)
        for edge in circuit.edges:
            if (edge.sender, edge.at) == (node, at):
                for place in places_after(circuit.graph, edge):
                    walk(*place, (*path, edge))

    for start in circuit.graph.inputs:
        for at in circuit.graph.positions or (None,):
            walk(start, at, ())
    return found


def places_after(graph: Graph, edge: Edge) -> list[tuple[str, str | None]]:
    """The nodes that compute with what the edge carries, and the classes of positions to which they can write it."""
    spreads = edge.receiver[0] == "a" and "<q>" not in edge.receiver
    places = (graph.positions or (None,)) if spreads else (edge.at,)
    return [(node, at) for node in nodes_behind(graph, edge.receiver) for at in places]
