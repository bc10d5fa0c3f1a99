"""The example draws the map that it should, with tokens that can be read."""

import json
import re
import runpy
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "patch_a_story.py"
STORIES = Path(__file__).parents[2] / "shared" / "models" / "stories260K"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "map.html"


def drawn(monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> pd.Series:
    """The effects of which the example draws a map, by site."""
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
    return runpy.run_path(str(EXAMPLE))["found"].set_index("site")["effect"]


def labels(page: Path) -> list[str]:
    """What stands under the columns of the last map, as the page has it."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<script[^>]* src=", text)  # it opens without a network
    return json.loads(re.findall(r'"ticktext":(\[".*?"\])', text)[-1])


def test_the_map_of_the_brackets_agrees_with_the_claim_about_them(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    effect = drawn(monkeypatch, page)
    assert str(page) in capsys.readouterr().out
    assert effect["resid_pre(0, at=5)"] == pytest.approx(1)  # where the two differ
    added = effect[effect.index.str.startswith("attn_out") & (effect.abs() > 0.05)]
    assert list(added.index) == ["attn_out(2, at=0)"]  # what hypotheses/balanced_brackets.py says
    assert added.iloc[0] > 0.95
    shown = labels(page)
    assert len(shown) == 12 and [shown[0], shown[5], shown[-1]] == ["start", "(<br>↓<br>)", "end"]


def test_a_folder_that_is_missing_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causalmi.load_model", lambda name: pytest.fail("a network was loaded"))
    for file in (tmp_path / "missing" / "map.html", tmp_path):
        with pytest.raises(SystemExit, match="cannot be written"):
            drawn(monkeypatch, file)


@pytest.mark.skipif(not STORIES.is_dir(), reason="the folder of networks is not here")
def test_the_map_of_a_story_shows_its_tokens(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effect = drawn(monkeypatch, page, STORIES)
    assert effect.idxmax() == "attn_out(4, at=13)"  # at the end, where the pronoun is chosen
    shown = labels(page)
    assert shown[0] == "&lt;s&gt;" and unescape(shown[0]) == "<s>"  # plotly would take <s> for a tag
    assert shown[-3:] == ["named", "Lily<br>↓<br>Tim", "."]
