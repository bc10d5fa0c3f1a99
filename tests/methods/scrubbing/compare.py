"""The scores of a scrub beside those of the textbook, given the same draws."""

from typing import Any

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.methods.scrubbing.scrub import scrub
from causalmi.methods.scrubbing.setup import set_up
from tests.methods.scrubbing.oracle import Textbook

N, CHECKED = 16, 2


def probe(logits: torch.Tensor, target: Any) -> torch.Tensor:
    """A number that any change of any logit shows."""
    weights = torch.linspace(1, 3, logits.shape[-1], dtype=logits.dtype).sqrt()
    return (logits * weights).sum(-1) + (logits**2 * weights).sum(-1)


def agrees(h: cm.Hypothesis, *, data: Any = None, seed: int = 0, checked: int = CHECKED) -> None:
    """The fast scores of some references are those of the textbook."""
    known: dict[str, Any] = {"data": data, "seed": seed, "n": N if data is None else None, "batch_size": 7}
    book = Textbook(set_up(h, None, **known))
    rows = np.random.default_rng(1).choice(len(book.setup.references), checked, replace=False).tolist()
    slow = torch.stack([probe(book.logits(r), None) for r in rows]).numpy()
    clean = torch.stack([probe(plain(book, r), None) for r in rows]).numpy()
    fast = scrub(h, **known, metric=probe, controls=()).frame
    assert fast["scrubbed"].to_numpy()[rows] == pytest.approx(slow, abs=1e-10)
    assert fast["clean"].to_numpy()[rows] == pytest.approx(clean, abs=1e-10)
    assert not np.allclose(slow, clean)  # something was resampled


def plain(book: Textbook, reference: int) -> torch.Tensor:
    datum = int(book.setup.references[reference])
    return book.pick(datum, book.run(datum, {}, ())[site.logits()])
