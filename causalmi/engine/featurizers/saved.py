"""How does a saved alignment come back? With the featurizers that its sites were written in, made of their numbers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from causalmi.engine.featurizers.principal import PCA, StandardisedPCA
from causalmi.engine.featurizers.sparse import SparseAutoencoder
from causalmi.spec.alignment_file import read_alignment
from causalmi.spec.site_type import Site

KINDS: tuple[type, ...] = (SparseAutoencoder, PCA, StandardisedPCA)


def load_alignment(folder: str | Path) -> dict[str, tuple[Site, ...]]:
    """The sites of each variable that :func:`causalmi.save_alignment` wrote into ``folder``, exactly as they were.

    ``dataclasses.replace(hypothesis, alignment=load_alignment(folder))`` is the hypothesis with them. Nothing in the
    files is executed. Raises DataError when there is no alignment, or when it is damaged.
    """
    return read_alignment(folder, {kind.__name__: partial(_made, kind) for kind in KINDS})


def _made(kind: Callable[..., Any], **given: Any) -> Any:
    return kind(**{name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in given.items()})
