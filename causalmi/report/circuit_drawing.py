"""What does a circuit look like? A drawing of it as SVG: inputs at the bottom, layers upward, the logits on top."""

import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from causalmi.spec.circuit import Circuit
from causalmi.spec.edge_values import Floats, edge_values
from causalmi.spec.files import write
from causalmi.spec.graph import Edge

BOX, HIGH, GAP, ROW, MARGIN = 62, 24, 22, 74, 40  # width and height of a box, between boxes, between rows, around
PORTS = {"<q>": -18, "<k>": 0, "<v>": 18}  # where along a head's box its queries, keys and values enter
PLAIN, POSITIVE, NEGATIVE = "#8a94a6", "#2166ac", "#b2182b"
STYLE = (
    "text{font:12px Helvetica,Arial,sans-serif;text-anchor:middle;fill:#1c2430}"
    ".port{font-size:8px;fill:#5b6676;paint-order:stroke;stroke:#fff;stroke-width:3px}.edge{fill:none;stroke-opacity:.65;stroke-linecap:round}"
    ".edge:hover{stroke-opacity:1}rect{stroke:#3b4656;rx:5}"
    ".head rect{fill:#e4ecf7}.mlp rect{fill:#f7ecd9}.end rect{fill:#e9e9ee}"
)


class Spot(NamedTuple):
    """The middle of a node's box."""

    x: float
    y: float


def draw(circuit: Circuit, scores: Any = None) -> str:
    """The circuit as the text of an SVG file, with the nodes that take part and one curve for each edge.

    ``scores`` (float [class, receiver, sender], a table or a mapping from Edge; only those of the circuit's edges are
    needed): a curve is the wider the larger the score's size, blue for positive and red for negative ones. q, k, v
    enter a head from left to right. The same circuit and scores give the same text. Raises ModelError for NaN.
    """
    values = None if scores is None else edge_values(scores, circuit.graph, circuit.array)
    spots, width, height = _layout(circuit)
    curves = [_curve(circuit, edge, values, spots) for edge in circuit.graph.named(circuit.array)]
    entered = {(n, edge.receiver[-3:]) for edge in circuit.edges for n in circuit.behind(edge.receiver)}
    boxes = [_box(name, spot, [p for p in PORTS if (name, p) in entered]) for name, spot in spots.items()]
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    head = [f"<title>{escape(repr(circuit)[1:-1])}</title>", f"<style>{STYLE}</style>"]
    return "\n".join(
        [start, *head, '<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>', *curves, *boxes, "</svg>\n"]
    )


def write_drawing(path: str | Path, circuit: Circuit, scores: Any = None) -> None:
    """Write :func:`draw`'s SVG to ``path``, whole or not at all."""
    write(path, draw(circuit, scores))


def _layout(circuit: Circuit) -> tuple[dict[str, Spot], float, float]:
    """Where each node is, and the width and height of it all: a row for each layer's heads and one for its MLP."""
    rows: dict[tuple[int, int], list[str]] = {}
    for name in circuit.nodes:
        rows.setdefault(_level(name, circuit.graph.n_layers), []).append(name)
    widest = max((len(names) for names in rows.values()), default=1)
    width = 2 * MARGIN + max(widest * (BOX + GAP) - GAP, 4 * BOX)
    height = 2 * MARGIN + HIGH + ROW * max(0, len(rows) - 1)
    spots = {}
    for i, level in enumerate(sorted(rows)):
        for j, name in enumerate(rows[level]):
            x = width / 2 + (j - (len(rows[level]) - 1) / 2) * (BOX + GAP)
            spots[name] = Spot(x, height - MARGIN - HIGH / 2 - i * ROW)
    return spots, width, height


def _level(name: str, n_layers: int) -> tuple[int, int]:
    if match := re.fullmatch(r"([am])(\d+)(\..*)?", name):
        return int(match[2]), int(match[1] == "m")
    return (n_layers, 0) if name == "logits" else (-1, 0)


def _curve(circuit: Circuit, edge: Edge, values: Floats | None, spots: dict[str, Spot]) -> str:
    """One path; where several nodes share the receiver it has a part to each of them."""
    place = circuit.graph.place(edge)
    port = PORTS.get(edge.receiver[-3:], 0)
    parts = " ".join(_bend(spots[edge.sender], spots[n], port, place[0]) for n in circuit.behind(edge.receiver))
    score = None if values is None else float(values[place])
    color = PLAIN if score is None else NEGATIVE if score < 0 else POSITIVE
    wide = 1.5 if values is None else 0.75 + 5.25 * _share(values, circuit, place)
    name = _quoted(str(edge))
    title = name if score is None else f"{name}: {score:.4g}"
    shown = f'd="{parts}" stroke="{color}" stroke-width="{wide:.2f}"'
    return f'<path class="edge" data-edge="{name}" {shown}><title>{title}</title></path>'


def _share(values: Floats, circuit: Circuit, place: tuple[int, int, int]) -> float:
    largest = float(np.abs(values[circuit.array]).max())
    return abs(float(values[place])) / largest if largest else 0.0


def _bend(start: Spot, end: Spot, port: int, position: int) -> str:
    """A curve from the top of one box to the bottom of another; long ones go around the boxes between them."""
    x1, y1, x2, y2 = start.x, start.y - HIGH / 2, end.x + port, end.y + HIGH / 2
    rows = max(0.0, (start.y - end.y) / ROW - 1)
    side = 1 if x1 + x2 >= 2 * end.x and port >= 0 else -1
    out = side * (min(rows, 4) * 0.5 * BOX + position * 14) if abs(x1 - x2) < BOX else side * position * 14
    up = (y1 - y2) * 0.45
    return f"M{x1:.1f} {y1:.1f}C{x1 + out:.1f} {y1 - up:.1f} {x2 + out:.1f} {y2 + up:.1f} {x2:.1f} {y2:.1f}"


def _box(name: str, spot: Spot, entered: list[str]) -> str:
    kind = "head" if name.startswith("a") else "mlp" if re.match(r"m\d", name) else "end"
    rect = f'<rect x="{spot.x - BOX / 2:.1f}" y="{spot.y - HIGH / 2:.1f}" width="{BOX}" height="{HIGH}"/>'
    label = f'<text x="{spot.x:.1f}" y="{spot.y + 4:.1f}">{escape(name)}</text>'
    ports = "".join(_port(port[1], spot.x + PORTS[port], spot.y + HIGH / 2 + 8) for port in entered)
    return f'<g class="{kind}" data-node="{_quoted(name)}">{rect}{label}{ports}</g>'


def _port(letter: str, x: float, y: float) -> str:
    return f'<text class="port" x="{x:.1f}" y="{y:.1f}">{letter}</text>'


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;"})
