"""What the documents show and the search for a layer does is run, as it stands."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import causalmi as cm

ROOT = Path(__file__).parents[1]


def python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)


def test_the_claim_in_the_readme() -> None:
    block, tests, _ = blocks("README.md")
    assert len(block.splitlines()) <= 30
    printed = python("-c", block)
    assert "IIA 1.00" in printed and "supported" in printed
    printed = python("-c", block + tests)
    assert "supported by observational, local, interchange, scrub" in printed and "survived every attempt" in printed


def test_the_search_in_the_readme() -> None:
    *_, block = blocks("README.md")
    scope: dict[str, Any] = {}
    exec(block, scope)
    stream, found, paths = scope["stream"], scope["found"], scope["paths"].set_index("sender")["effect"]
    assert stream.loc[stream["effect"].idxmax(), "site"] == "resid_pre(0, at=2)"  # the bracket that is turned
    heads = found.set_index("site")["effect"]
    assert (heads[["head_out(1, 1)", "head_out(2, 1)"]] >= 0.95).all()
    assert list(paths.index[paths.abs() > 0.05]) == ["head_out(1, 1)"]
    assert paths["head_out(1, 1)"] == pytest.approx(0.94, abs=0.01)
    assert found.attrs["direction"] == scope["paths"].attrs["direction"]  # or the two were not to be compared


def test_the_readme_lists_the_metrics() -> None:
    page = " ".join((ROOT / "README.md").read_text().split())
    assert f"`cm.METRICS` ({', '.join(cm.METRICS)})" in page


def test_the_results_page_names_the_columns() -> None:
    page, scope = (ROOT / "docs" / "results.md").read_text(), dict[str, Any]()
    exec(blocks("docs/patching.md")[0], scope)
    model, pairs, heads = (scope[name] for name in ("model", "pairs", "heads"))
    places = [cm.site.head_out(1, 1)]
    paths = cm.path_patching(model, pairs, sender=places, receivers=cm.site.v(2, 1))
    lost = cm.ablate(model, pairs, places, ablation=cm.Zero())
    parts = cm.direct_logit_attribution(model, pairs)
    for frame in (heads, paths, lost, parts):
        assert not [column for column in frame if f"`{column}`" not in page]
    assert {"input", "a0.h1", "m0", "bias", "a0.bias"} <= set(parts["component"])
    assert {f"`{name}`" for name in ("logprob", "rank_low", "logit_diff")} <= set(re.findall("`[^`]+`", page))


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md") if "```python" in p.read_text())
)
def test_the_code_of_the_pages(page: str) -> None:
    exec("\n".join(blocks(page)), {})


def test_the_files_that_the_documents_point_to_are_there() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("hypotheses/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_search_over_layers_finds_the_claimed_one() -> None:
    printed = python("examples/find_the_layer.py")
    scores = {int(a): float(b) for a, b in re.findall(r"layer +(\d+) .* (\d\.\d\d)\n", printed)}
    assert max(scores, key=scores.__getitem__) == 2
    assert "what attention of layer 2 adds" in printed and "supported: IIA" in printed
