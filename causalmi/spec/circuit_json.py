"""How is a circuit exchanged? As the graph JSON of EAP-IG (Hanna et al. 2024) and MIB (Mueller et al. 2025).

``{"cfg": {n_layers, n_heads, parallel_attn_mlp, d_model}, "nodes": {name: {"in_graph": bool}}, "edges": {name:
{"score": float, "in_graph": bool}}}``, and older files with ``"nodes": {name: bool}`` and scores that are null. There
every head has a q, a k and a v of its own: an edge to keys or values that heads share, or to a whole head, is written
as one for each, all of them in the circuit or none, with an equal share of the score. The key ``"causalmi"``, which
others pass over, holds the graph as it is here. Edges from two inputs, single neurons, or at classes of positions have
no name there: written under ours they come back here, and other readers refuse the file.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from causalmi.errors import DataError, SpecError
from causalmi.spec import graph_paths
from causalmi.spec.edge_values import Floats, edge_values
from causalmi.spec.graph import Bools, Edge, Graph

KEY = "causalmi"


def dumps(graph: Graph, chosen: Bools, scores: Floats | None, d_model: int) -> str:
    """The JSON text of the edges where ``chosen``, bool [class, receiver, sender], holds, with their ``scores``."""
    values = np.zeros(graph.shape) if scores is None else scores
    cfg = {**_config(graph), "d_model": d_model}
    nodes = dict(zip(graph.senders, map(bool, graph_paths.sending(chosen)), strict=True)) | {"logits": True}
    edges = {}
    for edge, kept, score in zip(graph.edges, chosen[graph.exists], values[graph.exists], strict=True):
        names = _written(graph, edge)
        edges.update({name: {"score": float(score) / len(names), "in_graph": bool(kept)} for name in names})
    own = {"graph": asdict(graph), "scores": None if scores is None else scores[graph.exists].tolist()}
    listed = {name: {"in_graph": kept} for name, kept in nodes.items()}
    return json.dumps({"cfg": cfg, "nodes": listed, "edges": edges, KEY: own}, allow_nan=False)


def loads(path_or_text: str | Path, graph: Graph | None = None) -> tuple[Graph, Bools]:
    """The graph and the edges that are in the circuit, bool [class, receiver, sender]; raises SpecError."""
    data, graph = _read(path_or_text, graph)
    chosen = np.zeros(graph.shape, dtype=bool)
    for edge in graph.edges:
        kept = {name: data["edges"].get(name, {}).get("in_graph", False) for name in _written(graph, edge)}
        if len(set(kept.values())) > 1:
            inside = ", ".join(name for name in kept if kept[name])
            problem = f"{edge} is one edge of {graph}, but the file has only {inside} of {', '.join(kept)}"
            raise SpecError("circuit", [f"{problem} in the circuit; read it as a graph in which they are apart"])
        chosen[graph.place(edge)] = all(kept.values())
    _check_whole(data, graph, chosen)
    return graph, chosen


def scores_from_json(path_or_text: str | Path, graph: Graph | None = None) -> Floats:
    """The scores in a JSON file or text, float64 [class, receiver, sender], of ``graph`` or of the graph it names.

    Those of heads that are one edge in ``graph`` are added; edges that are not listed have 0. Raises SpecError as
    :meth:`causalmi.spec.circuit.Circuit.from_json` does, DataError when there are no scores, ModelError for NaN.
    """
    data, graph = _read(path_or_text, graph)
    own = data.get(KEY)
    if (own and own["scores"] is None) or any(edge.get("score") is None for edge in data["edges"].values()):
        raise DataError("the file has edges without a score; write it with to_json(scores=...) to have them.")
    if own and _stored(own) == graph and len(own["scores"]) == len(graph.edges):
        return edge_values(dict(zip(graph.edges, own["scores"], strict=True)), graph)
    names = {edge: _written(graph, edge) for edge in graph.edges}
    listed = {edge: [data["edges"].get(name, {"score": 0.0})["score"] for name in names[edge]] for edge in graph.edges}
    return edge_values({edge: sum(scores) for edge, scores in listed.items()}, graph)


def _written(graph: Graph, edge: Edge) -> tuple[str, ...]:
    """The names under which the format has ``edge``: one for each head, and for each of its inputs."""
    match = graph_paths.HEAD.fullmatch(edge.receiver)
    if match is None or (match[2] == "h" and match[4]):
        return (str(edge),)
    behind = graph.senders[graph_paths.steps(graph)[graph.place(edge)[1]].nodes]
    inputs = [match[4]] if match[4] else ["<q>", "<k>", "<v>"]
    return tuple(str(Edge(edge.sender, head + one, edge.at)) for head in behind for one in inputs)


def _read(path_or_text: str | Path, graph: Graph | None) -> tuple[dict[str, Any], Graph]:
    data = _parsed(path_or_text)
    found = graph or (_stored(data[KEY]) if KEY in data else _of_config(data["cfg"]))
    wrong = [f"{k} is {data['cfg'].get(k)!r}, not {n!r}" for k, n in _config(found).items() if data["cfg"].get(k) != n]
    if wrong:
        raise SpecError("circuit", [f"the file is not of {found}: {', '.join(wrong)}"])
    known = {name for edge in found.edges for name in _written(found, edge)}
    if unknown := [name for name in data["edges"] if name not in known]:
        problem = f"{len(unknown):,} of the file's edges are none of {found}, the first {unknown[0]!r}"
        raise SpecError("circuit", [f"{problem}; give the graph that it was written for"])
    return data, found


def _parsed(path_or_text: str | Path) -> dict[str, Any]:
    given = str(path_or_text)
    text = given if given.lstrip().startswith("{") else _text(Path(path_or_text))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError("circuit", [f"what was given is no JSON: {error}"]) from error
    parts = [data.get(key) if isinstance(data, dict) else None for key in ("cfg", "nodes", "edges")]
    if not all(isinstance(part, dict) for part in parts) or not all(map(_is_edge, parts[2].values())):  # type: ignore[union-attr]
        shape = '{"cfg": {...}, "nodes": {...}, "edges": {name: {"score": number, "in_graph": true or false}}}'
        raise SpecError("circuit", [f"the JSON is no graph of EAP-IG or MIB, which are {shape}"])
    return dict(data)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise SpecError("circuit", [f"{str(path)[:100]!r} is neither JSON text nor a file of it: {error}"]) from error


def _is_edge(edge: Any) -> bool:
    if not isinstance(edge, dict) or not isinstance(edge.get("in_graph"), bool):
        return False
    return edge.get("score") is None or (isinstance(edge["score"], int | float) and not isinstance(edge["score"], bool))


def _config(graph: Graph) -> dict[str, Any]:
    return {"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel}


def _of_config(cfg: dict[str, Any]) -> Graph:
    sizes = (cfg.get("n_layers"), cfg.get("n_heads"))
    if not all(type(n) is int for n in sizes) or not isinstance(cfg.get("parallel_attn_mlp"), bool):
        problem = f"cfg is {cfg}, it must have the whole numbers n_layers and n_heads, and parallel_attn_mlp"
        raise SpecError("circuit", [problem])
    return Graph(n_layers=cfg["n_layers"], n_heads=cfg["n_heads"], parallel=cfg["parallel_attn_mlp"])


def _stored(own: Any) -> Graph:
    """The graph that this package wrote down; raises SpecError when somebody changed it to none."""
    kinds = {field.name: type(field.default) for field in fields(Graph)} | {"n_layers": int, "n_heads": int}
    given = own.get("graph") if isinstance(own, dict) else None
    if not isinstance(given, dict) or set(given) != set(kinds) or "scores" not in own:
        raise SpecError("circuit", [f"its key {KEY!r} is not as this package writes it; take the key away to read it"])
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if wrong := [name for name, kind in kinds.items() if type(given[name]) is not kind]:
        raise SpecError("circuit", [f"its graph has a {wrong[0]} of {given[wrong[0]]!r}"])
    return Graph(**given)


def _check_whole(data: dict[str, Any], graph: Graph, chosen: Bools) -> None:
    """Files of MIB can keep some of the numbers that a node sends; circuits here keep all or none."""
    sends = [name for name, one in zip(graph.senders, graph_paths.sending(chosen), strict=True) if one]
    if cut := [name for name in sends if not all(_kept_numbers(data, name))]:
        problem = f"the file keeps only some of the numbers that {', '.join(cut[:5])} send, which a circuit cannot say"
        raise SpecError("circuit", [f"{problem}; keep all of them, or search single neurons with Graph(neurons=...)"])


def _kept_numbers(data: dict[str, Any], name: str) -> Iterable[Any]:
    node = data["nodes"].get(name)
    listed = data.get("neurons")
    kept = node.get("neurons") if isinstance(node, dict) else listed.get(name) if isinstance(listed, dict) else None
    return kept if isinstance(kept, list) else ()
