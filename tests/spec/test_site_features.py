"""Features are part of a typed address: checked, printed, compared, and refused where they make no sense."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from causalmi import site
from causalmi.errors import SiteError
from causalmi.spec.site import KINDS, LAYER_KINDS, Site


class Three:
    """A featurizer as far as a site looks at it."""

    width, size, linear = 3, 5, False

    def encode(self, x: Any) -> Any:
        return x, None

    def decode(self, features: Any, rest: Any) -> Any:
        return features


class Named(Three):
    def __init__(self, name: str):
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Named({self.name})"


@pytest.mark.parametrize("kind", KINDS)
def test_every_vector_of_a_network_has_features(kind: str) -> None:
    whole = Site(kind, 1 if kind in LAYER_KINDS else None, at="last", path="a.b" if kind == "module" else None)
    if kind == "pattern":
        with pytest.raises(SiteError, match="attention weights"):
            whole.features(Three())
        return
    one = Three()
    place = whole.features(one, (4, 1))
    assert place.featurizer is one and place.chosen == (4, 1) and place.projected and not whole.projected
    assert place == whole.features(one, [4, 1]) and hash(place) == hash(whole.features(one, [4, 1]))
    assert len({place, whole, whole.features(one), whole.features(one, (1, 4)), whole.features(Three(), (4, 1))}) == 5
    assert str(place) == repr(place) == f"{whole}.features(Three(3 -> 5), [4, 1])"
    assert str(whole.features(one)) == f"{whole}.features(Three(3 -> 5))"
    with pytest.raises(SiteError, match="does not hold its featurizer"):
        site.parse(str(place))


def test_featurizers_may_say_when_they_are_equal() -> None:
    a, b, c = (site.embed().features(Named(name), 0) for name in "aab")
    assert a == b != c and hash(a) == hash(b)
    assert str(a) == "embed().features(Named(a), [0])"


@pytest.mark.parametrize(
    "which", [[2, 0], range(2, -1, -2), np.array([2, 0]), torch.tensor([2, 0]), [np.int64(2), torch.tensor(0)]]
)
def test_indices_of_any_kind(which: Any) -> None:
    assert site.embed().features(Three(), which).chosen == (2, 0)
    assert site.embed().features(Three(), 3).chosen == site.embed().features(Three(), np.int64(3)).chosen == (3,)


@pytest.mark.parametrize(
    ("which", "says"),
    [
        (5, "no feature 5; Three.* has 5, 0 to 4"),
        ([0, 7], "no feature 7"),
        (-1, "whole numbers from 0"),
        ([1, 1], "the same index twice"),
        ([], "one or more"),
        ([0.5], "whole numbers"),
        (True, "whole numbers"),
        ("ab", "whole numbers"),
    ],
)
def test_features_that_are_not_there(which: Any, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        site.resid_post(1).features(Three(), which)


def with_fields(**fields: Any) -> Any:
    return type("Other", (Three,), fields)()


@pytest.mark.parametrize(
    ("featurizer", "says"),
    [
        (torch.nn.Linear(3, 5), "it has no width and no size and no linear and no encode and no decode"),
        (3, "a int is no featurizer"),
        (with_fields(width=0), "width of a Other is 0"),
        (with_fields(size=2.0), "size of a Other is 2.0"),
        (with_fields(linear="yes"), "linear of a Other is 'yes'"),
        (with_fields(encode=None), "encode of a Other is no function"),
        (with_fields(__eq__=lambda a, b: True, __hash__=None), "cannot be hashed"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_what_is_no_featurizer(featurizer: Any, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        site.resid_post(1).features(featurizer)


def test_one_of_directions_and_features_after_neurons() -> None:
    place = site.mlp_hidden(0, neurons=[1, 5, 6]).features(Three(), 1)
    assert place.neurons == (1, 5, 6)
    with pytest.raises(SiteError, match="takes 3 numbers, and 2 neurons are chosen"):
        site.mlp_hidden(0, neurons=[1, 5]).features(Three())
    for again in (lambda: place.features(Three()), lambda: place.along([1.0, 0, 0]), lambda: place[0:1]):
        with pytest.raises(SiteError, match="is a subspace"):
            again()
    with pytest.raises(SiteError, match="subspace already"):
        site.embed().along([1.0, 0, 0]).features(Three())
    with pytest.raises(SiteError, match="of no featurizer"):
        Site("embed", chosen=(1,))
    with pytest.raises(SiteError, match="both directions and features"):
        Site("embed", basis=site.Basis.of([1.0, 0, 0]), featurizer=Three())


def test_sites_with_features_need_no_torch() -> None:
    code = (
        "import sys; from causalmi.spec.site_type import Site\n"
        "class F:\n    width, size, linear = 3, 5, True\n    encode = decode = print\n"
        "print(Site('embed').features(F(), 2)); assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "embed().features(F(3 -> 5), [2])"
