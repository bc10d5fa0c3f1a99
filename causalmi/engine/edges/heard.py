"""What passes at a site while a part of the network is called by itself?"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from causalmi.engine.hooks import Step, hooked
from causalmi.engine.selection import Selection
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site


@contextmanager
def heard(adapter: DecoderAdapter, site: Site, like: Tensor) -> Iterator[dict[Site, Tensor]]:
    """Within, what passes at ``site`` is kept, for as many examples and positions as ``like`` [b, pos, d_model] has."""
    adapter.expect(*like.shape[:2])
    with hooked([Step(site=site, tap=adapter.tap(site), selection=Selection())]) as trace:
        yield trace.values
