"""Is what cannot be scrubbed on its data refused before any run? Unequal lengths, what is not known, missing pairs."""

from typing import Any

import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, ModelError, SiteError, SpecError
from causalmi.methods.scrubbing.scrub import scrub
from tests.methods.scrubbing.claims import claim, model, task
from tests.methods.scrubbing.test_structures import FIVE, causal, refused


def test_whole_sites_in_prompts_of_unequal_lengths() -> None:
    refused(causal({"s": site.resid_post(0)}, unequal=True), "resid_post(0) spans whole", error=SiteError)
    for share in ("term", "mean"):
        unmapped: Any = cm.Resample(share=share)
        refused(causal({"s": FIVE}, unequal=True, unmapped=unmapped), "term by term", error=SiteError)


def test_generated_prompts_of_other_lengths_than_the_drawn() -> None:
    free = cm.CausalModel({"a": range(3)}, {"s": lambda a: a % 2, "out": lambda s: s}, "out")
    own = cm.Task(free, encode=lambda s: [1] * (3 if s["a"] < 2 else 4), label=lambda s: s["out"])
    make = cm.Generated(lambda x, rng: {"a": 2 if x["a"] == 0 else 1})
    data = free.enumerate()[["a"]].iloc[[0, 1, 0, 1]]
    more: dict[str, Any] = {"claim": "x", "task": own, "model": model("causal"), "donors": {"s": make}}
    with pytest.raises(SiteError, match="unequal lengths"):
        scrub(cm.Hypothesis(alignment={"s": site.resid_post(0)}, **more), data=data, controls=())
    scrub(cm.Hypothesis(alignment={"s": site.resid_post(0, at=1)}, **more), data=data, controls=())


def test_what_is_not_known_of_a_plain_module() -> None:
    places = {"s": site.module("first"), "u": site.module("second")}
    for share in ("term", "zero", "mean"):
        unmapped: Any = cm.Resample(share=share)
        refused(claim("plain", places, unmapped=unmapped), "plain nn.Module", "'node'", error=ModelError)
    refused(claim("plain", places, routes={("s", "out"): cm.Route(direct=True)}), "excluding=", error=ModelError)
    refused(claim("plain", {"s": site.module("third"), "t": site.module("first")}), "s -> t: no path")


def test_counterparts_where_the_data_are_no_pairs() -> None:
    refused(causal({"s": FIVE}, donors={"s": cm.Paired()}), "no pairs", error=DataError)
    refused(causal({"s": FIVE}, unmapped=cm.Resample(share="paired")), "no pairs", error=DataError)


def test_the_output_is_scored_with_its_own_task() -> None:
    with pytest.raises(SpecError, match="give a causalmi.Hypothesis"):
        scrub(task("causal"), n=8)  # type: ignore[arg-type]
