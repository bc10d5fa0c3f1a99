"""Which of several claims about how a network computes does it bear out, and where? Rivals on the same examples.

Places are scanned and subspaces learned for every claim alike; validation pairs rank, test pairs judge, and rivals are
compared where they expect different answers. Geiger et al. 2024, "Finding alignments between interpretable causal
variables and distributed neural representations".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.errors import ModelError, SpecError
from causalmi.methods.align.align import ONE_DIRECTION
from causalmi.methods.align.controls import DEFAULT, SearchControl
from causalmi.methods.align.method import Method, Progress
from causalmi.methods.align.split import Parts
from causalmi.methods.align.where import Where
from causalmi.methods.blocks import asked
from causalmi.methods.controls import Control
from causalmi.methods.hypothesis_search.one_claim import ClaimSearch, hits_of
from causalmi.methods.hypothesis_search.retelling import Rival, checked, retold
from causalmi.methods.hypothesis_search.telling_apart import told_apart
from causalmi.results.hypothesis_search import HypothesisSearchResult
from causalmi.spec.hypothesis import Hypothesis


def search_hypotheses(  # noqa: PLR0913  (the public call: which claims, on which network, where, how, on which pairs)
    hypotheses: Hypothesis | Sequence[Hypothesis],
    model: Any = None,
    *,
    sites: Where | Mapping[str, Where] | None = None,
    method: Method = ONE_DIRECTION,
    data: CounterfactualPairs | None = None,
    n: int | None = None,
    seed: int = 0,
    controls: Sequence[Control | SearchControl] = DEFAULT,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> HypothesisSearchResult:
    """Search the places of every claim, rank the claims on validation pairs, judge each on pairs held out.

    The claims' tasks have the same inputs, and all receive the same bases and sources: variables of one name
    correspond, others in their order. ``sites`` are places to try for all claims, as in :func:`causalmi.align`, or by
    the claim's name; by default each claim's own. ``model`` is by default the first claim's. At every place the
    interchange of all its numbers is reported, and screens nothing: it misses what shares a place. Claims are ranked by
    the mean of their agreement where the right answer changes and where it does not, so that one by which nothing ever
    changes wins nothing; one that the network answers too rarely is last. Of every two claims it is said where they
    expect different answers, and which is right there more often.
    Raises SpecError, SiteError, PositionError or DataError before anything is learned, ModelError when the network
    answers as none of the claims does.
    """
    claims = checked(hypotheses)
    for claim in claims:
        n, seed = asked("search_hypotheses", claim, n, seed)  # type: ignore[assignment]
    if isinstance(n, str):
        raise SpecError("search_hypotheses", [f"n is {n!r}; a search takes a whole number of pairs"])
    model = load_model(claims[0].model if model is None else model)
    rivals = retold(claims, data, n, seed, model.tokenizer)
    searches = [
        ClaimSearch(rival, model, _sites(sites, rival), Parts.of(rival.pairs, seed), batch_size) for rival in rivals
    ]
    for search in searches:
        search.swap.check()
    found = [each.ranked(each.search(method, seed, controls, progress), len(rivals)) for each in searches]
    if all(each.found is None for each in found):
        raise ModelError(f"no claim is about what the network does: {found[0].reason}")
    order = sorted(range(len(found)), key=lambda i: (found[i].found is None, -found[i].balanced, i))
    judged = [(replace(s.rival, pairs=s.parts.test), hits_of(x.found)) for s, x in zip(searches, found, strict=True)]
    frames = [search.frame(each) for search, each in zip(searches, found, strict=True)]
    return HypothesisSearchResult(
        model=model.name,
        method=method.name,
        seed=seed,
        n=len(rivals[0].pairs),
        ranked=tuple(found[i] for i in order),
        pairs=told_apart(judged, model.tokenizer),
        frame=pd.concat(frames, ignore_index=True),
    )


def _sites(sites: Any, rival: Rival) -> Where | None:
    """The places to try for one claim."""
    if not isinstance(sites, Mapping):
        return sites  # type: ignore[no-any-return]
    if rival.name not in sites:
        raise SpecError(
            "search_hypotheses", [f"sites has no places for {rival.name}; name every claim, or give a list"]
        )
    return sites[rival.name]  # type: ignore[no-any-return]
