"""What the README shows and the examples do is run, as it stands."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_of_the_readme() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(block.splitlines()) <= 30
    printed = python("-c", block)
    assert "IIA 1.00" in printed and "supported" in printed


def test_the_files_that_the_documents_point_to_are_there() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("hypotheses/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_search_over_layers_finds_the_claimed_one() -> None:
    printed = python("examples/find_the_layer.py")
    scores = {int(a): float(b) for a, b in re.findall(r"layer +(\d+) .* (\d\.\d\d)\n", printed)}
    assert max(scores, key=scores.__getitem__) == 2
    assert "what attention of layer 2 adds" in printed and "supported: IIA" in printed
