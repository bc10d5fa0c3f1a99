"""Test a claim about how a network computes something: the public names, each loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causalmi import errors as errors
    from causalmi import testbeds as testbeds
    from causalmi.data.inputs import Inputs as Inputs
    from causalmi.data.pairs import CounterfactualPairs as CounterfactualPairs
    from causalmi.data.task import Task as Task
    from causalmi.engine.load import load_model as load_model
    from causalmi.engine.metrics import METRICS as METRICS
    from causalmi.engine.metrics import Metric as Metric
    from causalmi.engine.model import Model as Model
    from causalmi.engine.model import plan as plan
    from causalmi.engine.recording import Recording as Recording
    from causalmi.methods.ablate import ablate as ablate
    from causalmi.methods.ablation_optimal import Optimal as Optimal
    from causalmi.methods.ablations import Mean as Mean
    from causalmi.methods.ablations import MeanPositional as MeanPositional
    from causalmi.methods.ablations import Noise as Noise
    from causalmi.methods.ablations import Zero as Zero
    from causalmi.methods.agreement import filter_pairs as filter_pairs
    from causalmi.methods.assess import assess as assess
    from causalmi.methods.attribution import direct_logit_attribution as direct_logit_attribution
    from causalmi.methods.controls import RandomSite as RandomSite
    from causalmi.methods.controls import RandomSubspace as RandomSubspace
    from causalmi.methods.controls import ShuffledSources as ShuffledSources
    from causalmi.methods.controls import UntrainedModel as UntrainedModel
    from causalmi.methods.interchange import interchange_test as interchange_test
    from causalmi.methods.local import local_consistency_test as local_consistency_test
    from causalmi.methods.logit_lens import logit_lens as logit_lens
    from causalmi.methods.observational import observational_test as observational_test
    from causalmi.methods.patching import activation_patching as activation_patching
    from causalmi.methods.path_patching import path_patching as path_patching
    from causalmi.methods.path_sets import paths_explained as paths_explained
    from causalmi.methods.refutation.best_site import best_site as best_site
    from causalmi.methods.refutation.refute import refute as refute
    from causalmi.methods.refutation.refuters import EmptyHypothesis as EmptyHypothesis
    from causalmi.methods.refutation.refuters import EquivalentRelabelling as EquivalentRelabelling
    from causalmi.methods.refutation.refuters import PermutedLabels as PermutedLabels
    from causalmi.methods.refutation.refuters import SelfDonor as SelfDonor
    from causalmi.methods.scrubbing.scrub import scrub as scrub
    from causalmi.methods.scrubbing.sensitivity import leave_one_out as leave_one_out
    from causalmi.methods.scrubbing.sensitivity import unmapped_sensitivity as unmapped_sensitivity
    from causalmi.models.scm import CausalModule as CausalModule
    from causalmi.models.transformer import Transformer as Transformer
    from causalmi.models.transformer_config import TransformerConfig as TransformerConfig
    from causalmi.models.transformer_lens import load_transformer_lens as load_transformer_lens
    from causalmi.spec import site as site
    from causalmi.spec.causal_model import CausalModel as CausalModel
    from causalmi.spec.causal_model import Setting as Setting
    from causalmi.spec.donor import Agree as Agree
    from causalmi.spec.donor import Donor as Donor
    from causalmi.spec.donor import Exact as Exact
    from causalmi.spec.donor import Generated as Generated
    from causalmi.spec.donor import Paired as Paired
    from causalmi.spec.donor import Pool as Pool
    from causalmi.spec.donor import Together as Together
    from causalmi.spec.donor import Unconditional as Unconditional
    from causalmi.spec.factory import hypothesis as hypothesis
    from causalmi.spec.hypothesis import AtLeast as AtLeast
    from causalmi.spec.hypothesis import Hypothesis as Hypothesis
    from causalmi.spec.hypothesis import Resample as Resample
    from causalmi.spec.route import Route as Route
    from causalmi.spec.site_type import Site as Site
    from causalmi.stats.estimate import Estimate as Estimate

# The same names for the interpreter, each with its module; a test holds the two lists together.
_MODULES = {"errors": "causalmi.errors", "site": "causalmi.spec.site", "testbeds": "causalmi.testbeds"}
_HOMES = {
    "Agree": "causalmi.spec.donor",
    "AtLeast": "causalmi.spec.hypothesis",
    "CausalModel": "causalmi.spec.causal_model",
    "CausalModule": "causalmi.models.scm",
    "CounterfactualPairs": "causalmi.data.pairs",
    "EmptyHypothesis": "causalmi.methods.refutation.refuters",
    "EquivalentRelabelling": "causalmi.methods.refutation.refuters",
    "Donor": "causalmi.spec.donor",
    "Estimate": "causalmi.stats.estimate",
    "Exact": "causalmi.spec.donor",
    "Generated": "causalmi.spec.donor",
    "Hypothesis": "causalmi.spec.hypothesis",
    "Inputs": "causalmi.data.inputs",
    "METRICS": "causalmi.engine.metrics",
    "Mean": "causalmi.methods.ablations",
    "MeanPositional": "causalmi.methods.ablations",
    "Metric": "causalmi.engine.metrics",
    "Model": "causalmi.engine.model",
    "Noise": "causalmi.methods.ablations",
    "Optimal": "causalmi.methods.ablation_optimal",
    "Paired": "causalmi.spec.donor",
    "PermutedLabels": "causalmi.methods.refutation.refuters",
    "Pool": "causalmi.spec.donor",
    "RandomSite": "causalmi.methods.controls",
    "RandomSubspace": "causalmi.methods.controls",
    "Recording": "causalmi.engine.recording",
    "Resample": "causalmi.spec.hypothesis",
    "Route": "causalmi.spec.route",
    "SelfDonor": "causalmi.methods.refutation.refuters",
    "Setting": "causalmi.spec.causal_model",
    "ShuffledSources": "causalmi.methods.controls",
    "Site": "causalmi.spec.site_type",
    "Task": "causalmi.data.task",
    "Together": "causalmi.spec.donor",
    "Transformer": "causalmi.models.transformer",
    "TransformerConfig": "causalmi.models.transformer_config",
    "Unconditional": "causalmi.spec.donor",
    "UntrainedModel": "causalmi.methods.controls",
    "Zero": "causalmi.methods.ablations",
    "ablate": "causalmi.methods.ablate",
    "activation_patching": "causalmi.methods.patching",
    "assess": "causalmi.methods.assess",
    "best_site": "causalmi.methods.refutation.best_site",
    "direct_logit_attribution": "causalmi.methods.attribution",
    "filter_pairs": "causalmi.methods.agreement",
    "hypothesis": "causalmi.spec.factory",
    "interchange_test": "causalmi.methods.interchange",
    "leave_one_out": "causalmi.methods.scrubbing.sensitivity",
    "load_model": "causalmi.engine.load",
    "load_transformer_lens": "causalmi.models.transformer_lens",
    "local_consistency_test": "causalmi.methods.local",
    "logit_lens": "causalmi.methods.logit_lens",
    "observational_test": "causalmi.methods.observational",
    "path_patching": "causalmi.methods.path_patching",
    "paths_explained": "causalmi.methods.path_sets",
    "plan": "causalmi.engine.model",
    "refute": "causalmi.methods.refutation.refute",
    "scrub": "causalmi.methods.scrubbing.scrub",
    "unmapped_sensitivity": "causalmi.methods.scrubbing.sensitivity",
}

__all__ = [*_MODULES, *_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    value = _load(name)
    globals()[name] = value
    return value


def _load(name: str) -> object:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__version__":
        return import_module("importlib.metadata").version("causalmi")
    raise AttributeError(f"module 'causalmi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
