"""Checkpoints that are whole are loaded, others are refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import causalmi as cm
from causalmi.errors import ModelError
from tests import family_networks as families
from tests.networks import MLP, draw_tokens, gpt2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    gpt2(torch.float32).save_pretrained(tmp_path)
    words = Tokenizer(WordLevel({str(i): i for i in range(10)}, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="0").save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_loads_as_it_was_saved(folder: Path) -> None:
    wanted = cm.load_model(gpt2(torch.float32)).run(draw_tokens(2, 0)).logits
    assert torch.equal(cm.load_model(folder, device="cpu").run(draw_tokens(2, 0)).logits, wanted)


@pytest.mark.parametrize("name", ["bert", "bert_classifier", "vit", "gemma2"])
def test_a_folder_loads_with_the_head_and_attention_it_needs(name: str, tmp_path: Path) -> None:
    net = getattr(families, name)(torch.float32, "eager")
    net.save_pretrained(tmp_path)
    model = cm.load_model(tmp_path, device="cpu", tokenizer=object())
    assert type(model.module) is type(net)
    assert (model.module.config._attn_implementation == "eager") is (name == "gemma2")
    x = model.adapter.example()
    torch.testing.assert_close(model.run(x).logits, net.eval()(x).logits, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_that_lacks_a_weight_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="h.1.mlp.c_fc.weight"):
        cm.load_model(folder)


def test_a_checkpoint_of_another_shape_or_cut_short_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.weight"] = torch.zeros(3, 3)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError):
        cm.load_model(folder)
    (folder / "model.safetensors").write_bytes(b"12345678")
    with pytest.raises(ModelError):
        cm.load_model(folder)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("equality_mlp", "did you mean the shipped 'equality-mlp'"),
        (3, "a int is no network"),
        ("docs", "no config.json"),
    ],
)
def test_what_is_no_network_is_refused(
    source: object, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=says):
        cm.load_model(source)


def test_a_network_in_memory_is_never_moved_or_copied() -> None:
    net = MLP()
    assert cm.load_model(net).module is net
    assert cm.load_model(net, device="cpu").module is net


class Odd(torch.nn.Module):
    """Gives something that holds no logits."""

    def __init__(self, gives: object) -> None:
        super().__init__()
        self.layer, self.gives = torch.nn.Linear(2, 2), gives

    def forward(self, x: torch.Tensor) -> object:
        return self.gives if not callable(self.gives) else self.gives(self.layer(x))


def test_outputs_without_logits_are_refused() -> None:
    with pytest.raises(ModelError, match="gives a dict"):
        cm.load_model(Odd({})).run(torch.zeros(2, 2))
    assert cm.load_model(Odd(lambda y: (y, "rest"))).run(torch.zeros(2, 2)).logits.shape == (2, 2)
