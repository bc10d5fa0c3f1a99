"""Are two claims compared only where they expect different answers, pair by pair and base by base?"""

import numpy as np
import pytest

from causalmi.methods.hypothesis_search.retelling import Rival, retold
from causalmi.methods.hypothesis_search.telling_apart import Hits, told_apart
from causalmi.methods.subsets import expected_labels
from causalmi.results.rival_pair import RivalPair
from causalmi.stats.multiplicity import adjust
from causalmi.stats.paired import mcnemar
from tests.methods.hypothesis_search.rivals import first_entity, idle, one_half, opposite, truth


def told(*shares: float, n: int = 80) -> tuple[list[Rival], list[Hits], tuple[RivalPair, ...]]:
    """Claims about half of the inputs alone, each right at random on a share of the pairs."""
    rng = np.random.default_rng(1)
    claims = [one_half(), first_entity(), idle()][: len(shares)]
    rivals = retold(claims, truth().task.pairs(n, vary=["left", "right"], seed=0), None, 0, None)
    hits = [{"+".join(s): rng.random(n) < share for s in r.subsets} for r, share in zip(rivals, shares, strict=True)]
    return rivals, hits, told_apart(list(zip(rivals, hits, strict=True)), None)


def test_one_set_on_bases_of_their_own_is_mcnemar() -> None:
    (a, b), (first, second), [pair] = told(0.9, 0.4)
    assert pair.sets == ("half / left",) and len(set(a.pairs.clusters())) == len(a.pairs)
    apart = (expected_labels(a.pairs, ("half",), None) != expected_labels(b.pairs, ("left",), None)).numpy()
    assert pair.p == pytest.approx(mcnemar(first["half"][apart], second["left"][apart])) and pair.p < 0.05
    assert pair.first_right == pytest.approx(first["half"][apart].mean()) and pair.separating == apart.sum()
    assert pair.better == "one half"


def test_hits_where_they_agree_count_for_nothing() -> None:
    (a, b), (first, second), [pair] = told(0.5, 0.5)
    apart = (expected_labels(a.pairs, ("half",), None) != expected_labels(b.pairs, ("left",), None)).numpy()
    changed = {"half": np.where(apart, first["half"], True)}, {**second, "left": np.where(apart, second["left"], False)}
    [again] = told_apart(list(zip((a, b), changed, strict=True)), None)
    assert again == pair and pair.better is None and "neither is better" in pair.sentence


@pytest.mark.parametrize(("bases", "tested"), [(5, False), (8, True)])
def test_a_base_that_comes_again_is_one_observation(bases: int, tested: bool) -> None:
    """Ten copies of each base that speak for a claim are no evidence of ten."""
    rivals, hits, _ = told(1.0, 0.0)
    a, b = rivals
    apart = expected_labels(a.pairs, ("half",), None) != expected_labels(b.pairs, ("left",), None)
    rows = np.repeat(np.flatnonzero(apart.numpy())[:bases], 10)
    same = [Rival(r.name, r.hypothesis, r.pairs.rows(rows), r.slots) for r in rivals]
    [pair] = told_apart([(r, {k: v[rows] for k, v in h.items()}) for r, h in zip(same, hits, strict=True)], None)
    assert pair.separating == 10 * bases and pair.bases == bases
    assert pair.p == (pytest.approx(2 * 0.5**8) if tested else None) and pair.first_wins == (bases if tested else 0)


def test_p_values_know_of_the_other_comparisons() -> None:
    *_, pairs = told(0.9, 0.4, 0.5)
    assert [p.p_adjusted for p in pairs] == pytest.approx(adjust([p.p for p in pairs], "holm").tolist())
    assert all(p.p_adjusted >= p.p for p in pairs)


def test_too_few_separating_pairs_are_no_test() -> None:
    *_, [pair] = told(0.9, 0.4, n=12)
    assert 0 < pair.separating < 10 and pair.p is None and "fewer than 10" in pair.sentence


def test_all_claims_receive_the_same_examples() -> None:
    rivals = retold([truth(), opposite(), one_half()], None, 30, 0, None)
    values = [r.pairs.sources[next(v for v, slot in r.slots.items() if slot == "left")].values for r in rivals]
    assert all((rivals[0].pairs.base.values == r.pairs.base.values).all() for r in rivals[1:])
    assert all((values[0] == x).all() for x in values[1:])
    assert rivals[2].slots == {"half": "left"}


def test_variables_of_one_name_correspond_whatever_their_order() -> None:
    turned = truth()
    object.__setattr__(turned, "alignment", {v: turned.alignment[v] for v in ("right", "left")})
    rivals = retold([truth(), turned], None, 20, 0, None)
    assert rivals[1].slots == {"right": "right", "left": "left"} and rivals[1].name == "truth 2"
