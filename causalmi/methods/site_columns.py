"""Which row of a result is of which site? Columns that say so, to group, pivot and plot by."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from causalmi.spec.site import Site


def site_columns(sites: Sequence[Site | None], name: str = "site") -> pd.DataFrame:
    """The columns ``name`` (as text), kind, layer, head and position of each of ``sites``; None where there is none."""
    return pd.DataFrame(
        {
            name: [None if s is None else str(s) for s in sites],
            "kind": [s and s.kind for s in sites],
            "layer": [s and s.layer for s in sites],
            "head": [s and s.head for s in sites],
            "position": [s and _position(s.at) for s in sites],
        }
    )


def _position(at: Any) -> int | str | None:
    return at if at is None or isinstance(at, int | str) else getattr(at, "__name__", str(at))
