"""Test a claim about how a network computes something: the public names, each loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causalmi import errors as errors
    from causalmi import testbeds as testbeds
    from causalmi.data.inputs import Inputs as Inputs
    from causalmi.data.pairs import CounterfactualPairs as CounterfactualPairs
    from causalmi.data.task import Task as Task
    from causalmi.engine.featurizers.featurizer import Featurizer as Featurizer
    from causalmi.engine.featurizers.linear import Rotation as Rotation
    from causalmi.engine.featurizers.module_featurizer import ModuleFeaturizer as ModuleFeaturizer
    from causalmi.engine.featurizers.principal import PCA as PCA
    from causalmi.engine.featurizers.principal import StandardisedPCA as StandardisedPCA
    from causalmi.engine.featurizers.saved import load_alignment as load_alignment
    from causalmi.engine.featurizers.sparse import SparseAutoencoder as SparseAutoencoder
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
    from causalmi.methods.align.align import align as align
    from causalmi.methods.align.boundless import BoundlessDAS as BoundlessDAS
    from causalmi.methods.align.brute import BruteForceNeurons as BruteForceNeurons
    from causalmi.methods.align.components import PCAAlignment as PCAAlignment
    from causalmi.methods.align.controls import PermutedSearch as PermutedSearch
    from causalmi.methods.align.controls import RandomSearch as RandomSearch
    from causalmi.methods.align.controls import UntrainedSearch as UntrainedSearch
    from causalmi.methods.align.das import DAS as DAS
    from causalmi.methods.align.dbm import DBM as DBM
    from causalmi.methods.align.each import align_each as align_each
    from causalmi.methods.align.imports import from_causalab as from_causalab
    from causalmi.methods.align.imports import from_pyvene as from_pyvene
    from causalmi.methods.align.means import DifferenceInMeans as DifferenceInMeans
    from causalmi.methods.align.multitask import MultiTaskDAS as MultiTaskDAS
    from causalmi.methods.align.probe import ProbeAlignment as ProbeAlignment
    from causalmi.methods.align.snap import SnapToLocalist as SnapToLocalist
    from causalmi.methods.assess import assess as assess
    from causalmi.methods.attribution import direct_logit_attribution as direct_logit_attribution
    from causalmi.methods.circuits.acdc import ACDC as ACDC
    from causalmi.methods.circuits.curve import faithfulness_curve as faithfulness_curve
    from causalmi.methods.circuits.eap import EAP as EAP
    from causalmi.methods.circuits.eap import EAPIG as EAPIG
    from causalmi.methods.circuits.eap import CleanCorrupted as CleanCorrupted
    from causalmi.methods.circuits.evaluate import evaluate_circuit as evaluate_circuit
    from causalmi.methods.circuits.exact import ExactPatching as ExactPatching
    from causalmi.methods.circuits.find import find_circuit as find_circuit
    from causalmi.methods.circuits.flow import InformationFlow as InformationFlow
    from causalmi.methods.circuits.flow import Magnitude as Magnitude
    from causalmi.methods.circuits.flow import RandomScores as RandomScores
    from causalmi.methods.circuits.found import CircuitResult as CircuitResult
    from causalmi.methods.circuits.graphs import graph_of as graph_of
    from causalmi.methods.circuits.masks import EdgePruning as EdgePruning
    from causalmi.methods.circuits.masks import SampledMasks as SampledMasks
    from causalmi.methods.circuits.masks import SubnetworkProbing as SubnetworkProbing
    from causalmi.methods.circuits.missed_nodes import false_negative_bound as false_negative_bound
    from causalmi.methods.circuits.node_scores import node_scores as node_scores
    from causalmi.methods.circuits.nodes import HISP as HISP
    from causalmi.methods.circuits.nodes import AtP as AtP
    from causalmi.methods.circuits.nodes import AtPStar as AtPStar
    from causalmi.methods.circuits.order_stability import order_stability as order_stability
    from causalmi.methods.circuits.random_circuits import random_circuits as random_circuits
    from causalmi.methods.circuits.roc import auroc as auroc
    from causalmi.methods.circuits.rule import FaithfulWithin as FaithfulWithin
    from causalmi.methods.circuits.scores import edge_scores as edge_scores
    from causalmi.methods.circuits.select import Greedy as Greedy
    from causalmi.methods.circuits.select import Threshold as Threshold
    from causalmi.methods.circuits.select import TopN as TopN
    from causalmi.methods.circuits.smallest import Smallest as Smallest
    from causalmi.methods.circuits.stability import circuit_stability as circuit_stability
    from causalmi.methods.circuits.sweep import threshold_sweep as threshold_sweep
    from causalmi.methods.controls import RandomSite as RandomSite
    from causalmi.methods.controls import RandomSubspace as RandomSubspace
    from causalmi.methods.controls import ShuffledSources as ShuffledSources
    from causalmi.methods.controls import UntrainedModel as UntrainedModel
    from causalmi.methods.hypothesis_search.search import search_hypotheses as search_hypotheses
    from causalmi.methods.illusion.diagnose import diagnose_illusion as diagnose_illusion
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
    from causalmi.report.circuit_drawing import draw as draw
    from causalmi.report.circuit_drawing import write_drawing as write_drawing
    from causalmi.results.alignment import AlignmentResult as AlignmentResult
    from causalmi.spec import site as site
    from causalmi.spec.alignment_file import save_alignment as save_alignment
    from causalmi.spec.causal_model import CausalModel as CausalModel
    from causalmi.spec.causal_model import Setting as Setting
    from causalmi.spec.circuit import Circuit as Circuit
    from causalmi.spec.circuit_claim import circuit_hypothesis as circuit_hypothesis
    from causalmi.spec.circuit_json import scores_from_json as scores_from_json
    from causalmi.spec.donor import Agree as Agree
    from causalmi.spec.donor import Donor as Donor
    from causalmi.spec.donor import Exact as Exact
    from causalmi.spec.donor import Generated as Generated
    from causalmi.spec.donor import Paired as Paired
    from causalmi.spec.donor import Pool as Pool
    from causalmi.spec.donor import Together as Together
    from causalmi.spec.donor import Unconditional as Unconditional
    from causalmi.spec.factory import hypothesis as hypothesis
    from causalmi.spec.graph import Edge as Edge
    from causalmi.spec.graph import Graph as Graph
    from causalmi.spec.hypothesis import AtLeast as AtLeast
    from causalmi.spec.hypothesis import Hypothesis as Hypothesis
    from causalmi.spec.hypothesis import Resample as Resample
    from causalmi.spec.route import Route as Route
    from causalmi.spec.site_type import Site as Site
    from causalmi.stats.estimate import Estimate as Estimate

# The same names for the interpreter, each with its module; a test holds the two lists together.
_MODULES = {"errors": "causalmi.errors", "site": "causalmi.spec.site", "testbeds": "causalmi.testbeds"}
_HOMES = {
    "SnapToLocalist": "causalmi.methods.align.snap",
    "BruteForceNeurons": "causalmi.methods.align.brute",
    "PCAAlignment": "causalmi.methods.align.components",
    "DifferenceInMeans": "causalmi.methods.align.means",
    "ProbeAlignment": "causalmi.methods.align.probe",
    "AlignmentResult": "causalmi.results.alignment",
    "from_causalab": "causalmi.methods.align.imports",
    "from_pyvene": "causalmi.methods.align.imports",
    "load_alignment": "causalmi.engine.featurizers.saved",
    "save_alignment": "causalmi.spec.alignment_file",
    "Featurizer": "causalmi.engine.featurizers.featurizer",
    "ModuleFeaturizer": "causalmi.engine.featurizers.module_featurizer",
    "SparseAutoencoder": "causalmi.engine.featurizers.sparse",
    "Rotation": "causalmi.engine.featurizers.linear",
    "StandardisedPCA": "causalmi.engine.featurizers.principal",
    "PCA": "causalmi.engine.featurizers.principal",
    "search_hypotheses": "causalmi.methods.hypothesis_search.search",
    "diagnose_illusion": "causalmi.methods.illusion.diagnose",
    "align_each": "causalmi.methods.align.each",
    "RandomSearch": "causalmi.methods.align.controls",
    "PermutedSearch": "causalmi.methods.align.controls",
    "UntrainedSearch": "causalmi.methods.align.controls",
    "MultiTaskDAS": "causalmi.methods.align.multitask",
    "DBM": "causalmi.methods.align.dbm",
    "BoundlessDAS": "causalmi.methods.align.boundless",
    "DAS": "causalmi.methods.align.das",
    "align": "causalmi.methods.align.align",
    "circuit_hypothesis": "causalmi.spec.circuit_claim",
    "order_stability": "causalmi.methods.circuits.order_stability",
    "threshold_sweep": "causalmi.methods.circuits.sweep",
    "AtP": "causalmi.methods.circuits.nodes",
    "AtPStar": "causalmi.methods.circuits.nodes",
    "EdgePruning": "causalmi.methods.circuits.masks",
    "ExactPatching": "causalmi.methods.circuits.exact",
    "HISP": "causalmi.methods.circuits.nodes",
    "SampledMasks": "causalmi.methods.circuits.masks",
    "SubnetworkProbing": "causalmi.methods.circuits.masks",
    "false_negative_bound": "causalmi.methods.circuits.missed_nodes",
    "node_scores": "causalmi.methods.circuits.node_scores",
    "FaithfulWithin": "causalmi.methods.circuits.rule",
    "circuit_stability": "causalmi.methods.circuits.stability",
    "evaluate_circuit": "causalmi.methods.circuits.evaluate",
    "InformationFlow": "causalmi.methods.circuits.flow",
    "Magnitude": "causalmi.methods.circuits.flow",
    "RandomScores": "causalmi.methods.circuits.flow",
    "faithfulness_curve": "causalmi.methods.circuits.curve",
    "ACDC": "causalmi.methods.circuits.acdc",
    "Circuit": "causalmi.spec.circuit",
    "CircuitResult": "causalmi.methods.circuits.found",
    "CleanCorrupted": "causalmi.methods.circuits.eap",
    "EAP": "causalmi.methods.circuits.eap",
    "EAPIG": "causalmi.methods.circuits.eap",
    "Edge": "causalmi.spec.graph",
    "Graph": "causalmi.spec.graph",
    "Greedy": "causalmi.methods.circuits.select",
    "Smallest": "causalmi.methods.circuits.smallest",
    "Threshold": "causalmi.methods.circuits.select",
    "TopN": "causalmi.methods.circuits.select",
    "auroc": "causalmi.methods.circuits.roc",
    "draw": "causalmi.report.circuit_drawing",
    "edge_scores": "causalmi.methods.circuits.scores",
    "find_circuit": "causalmi.methods.circuits.find",
    "graph_of": "causalmi.methods.circuits.graphs",
    "random_circuits": "causalmi.methods.circuits.random_circuits",
    "scores_from_json": "causalmi.spec.circuit_json",
    "write_drawing": "causalmi.report.circuit_drawing",
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
