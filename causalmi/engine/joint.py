"""When do two edits of one place act as one? Different features of one featurizer: encoded once, set, decoded once.

Setting one feature and then another is not the same where decoding is no linear map, and depends on their order.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from causalmi.engine.hooks import Step


def joined(a: Step, b: Step) -> bool:
    """Whether these set different features of one featurizer at the same numbers of the same vectors."""
    if a.site.featurizer is None or a.site.featurizer != b.site.featurizer or a.layout != b.layout:
        return False
    if a.site.chosen is None or b.site.chosen is None or set(a.site.chosen) & set(b.site.chosen):
        return False
    x, y = a.selection, b.selection
    return (x.heads, x.neurons) == (y.heads, y.neurons) and _same(x.positions, y.positions)


def joint(edits: Sequence[Step]) -> list[Step]:
    """The edits, those that are joined as one at the place of the first, of the features of all."""
    groups: list[list[Step]] = []
    for step in edits:
        group = next((group for group in groups if joined(group[0], step)), None)
        if group is None:
            groups.append([step])
        else:
            group.append(step)
    return [group[0] if len(group) == 1 else _one(group) for group in groups]


def _one(edits: Sequence[Step]) -> Step:
    first = edits[0]
    chosen = tuple(i for step in edits for i in step.site.chosen or ())
    site = replace(first.site, chosen=chosen)
    value = first.selection.dropped(torch.cat([_whole(step).to(_whole(first)) for step in edits], -1))
    features = replace(first.selection.projection, chosen=chosen)  # type: ignore[type-var]
    return replace(first, site=site, value=value, selection=replace(first.selection, projection=features))


def _whole(step: Step) -> Tensor:
    """An edit's value with an axis for everything."""
    assert step.value is not None  # it is an edit
    return step.selection.widened(step.value)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
