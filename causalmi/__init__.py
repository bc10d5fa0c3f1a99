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
    from causalmi.methods.attribution import direct_logit_attribution as direct_logit_attribution
    from causalmi.methods.controls import RandomSite as RandomSite
    from causalmi.methods.controls import ShuffledSources as ShuffledSources
    from causalmi.methods.controls import UntrainedModel as UntrainedModel
    from causalmi.methods.interchange import interchange_test as interchange_test
    from causalmi.methods.logit_lens import logit_lens as logit_lens
    from causalmi.methods.patching import activation_patching as activation_patching
    from causalmi.methods.path_patching import path_patching as path_patching
    from causalmi.methods.path_sets import paths_explained as paths_explained
    from causalmi.models.scm import CausalModule as CausalModule
    from causalmi.models.transformer import Transformer as Transformer
    from causalmi.models.transformer_config import TransformerConfig as TransformerConfig
    from causalmi.models.transformer_lens import load_transformer_lens as load_transformer_lens
    from causalmi.spec import site as site
    from causalmi.spec.causal_model import CausalModel as CausalModel
    from causalmi.spec.causal_model import Setting as Setting
    from causalmi.spec.factory import hypothesis as hypothesis
    from causalmi.spec.hypothesis import AtLeast as AtLeast
    from causalmi.spec.hypothesis import Hypothesis as Hypothesis
    from causalmi.spec.hypothesis import Resample as Resample
    from causalmi.spec.site_type import Site as Site
    from causalmi.stats.estimate import Estimate as Estimate

# The same names for the interpreter, each with its module; a test holds the two lists together.
_MODULES = {"errors": "causalmi.errors", "site": "causalmi.spec.site", "testbeds": "causalmi.testbeds"}
_HOMES = {
    "METRICS": "causalmi.engine.metrics",
    "AtLeast": "causalmi.spec.hypothesis",
    "CausalModel": "causalmi.spec.causal_model",
    "CausalModule": "causalmi.models.scm",
    "CounterfactualPairs": "causalmi.data.pairs",
    "Estimate": "causalmi.stats.estimate",
    "Hypothesis": "causalmi.spec.hypothesis",
    "Inputs": "causalmi.data.inputs",
    "Mean": "causalmi.methods.ablations",
    "MeanPositional": "causalmi.methods.ablations",
    "Metric": "causalmi.engine.metrics",
    "Model": "causalmi.engine.model",
    "Noise": "causalmi.methods.ablations",
    "Optimal": "causalmi.methods.ablation_optimal",
    "RandomSite": "causalmi.methods.controls",
    "Recording": "causalmi.engine.recording",
    "Resample": "causalmi.spec.hypothesis",
    "Setting": "causalmi.spec.causal_model",
    "ShuffledSources": "causalmi.methods.controls",
    "Site": "causalmi.spec.site_type",
    "Task": "causalmi.data.task",
    "Transformer": "causalmi.models.transformer",
    "TransformerConfig": "causalmi.models.transformer_config",
    "UntrainedModel": "causalmi.methods.controls",
    "Zero": "causalmi.methods.ablations",
    "ablate": "causalmi.methods.ablate",
    "activation_patching": "causalmi.methods.patching",
    "direct_logit_attribution": "causalmi.methods.attribution",
    "filter_pairs": "causalmi.methods.agreement",
    "hypothesis": "causalmi.spec.factory",
    "interchange_test": "causalmi.methods.interchange",
    "load_model": "causalmi.engine.load",
    "load_transformer_lens": "causalmi.models.transformer_lens",
    "logit_lens": "causalmi.methods.logit_lens",
    "path_patching": "causalmi.methods.path_patching",
    "paths_explained": "causalmi.methods.path_sets",
    "plan": "causalmi.engine.model",
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
