"""TransformerLens checkpoints load into the reference network and compute what they did."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import causalmi as cm
from causalmi.errors import ModelError, SpecError

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="the folder of third-party networks is not here")


def load(name: str) -> cm.Model:
    config = json.loads((MODELS / name / "config.json").read_text())
    return cm.load_model(cm.load_transformer_lens(config, load_file(MODELS / name / "model.safetensors")))


def all_pairs(p: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


@needs_models
def test_modular_addition() -> None:
    pairs = all_pairs(113)
    tokens = torch.cat([pairs, torch.full((len(pairs), 1), 113)], 1)
    at = cm.site.logits(at="last")
    logits = load("modadd113").run(tokens, read=[at])[at].double()
    labels = pairs.sum(-1) % 113
    assert torch.equal(logits.argmax(-1), labels)
    assert float(torch.nn.functional.cross_entropy(logits, labels)) == pytest.approx(6.8e-6, rel=0.01)


@needs_models
def test_clock() -> None:
    pairs = all_pairs(59)
    logits = load("clock-modadd59").run(pairs).logits[:, -1]
    assert torch.equal(logits.argmax(-1), pairs.sum(-1) % 59)


@needs_models
def test_induction() -> None:
    """Letters uniform, the last equal to one at a uniform position 0..5, kept if that letter occurs once before."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(26, size=(20_000, 8))
    at = rng.integers(6, size=20_000)
    tokens[:, 7] = tokens[np.arange(20_000), at]
    once = (tokens[:, :7] == tokens[:, 7:]).sum(1) == 1
    tokens, at = tokens[once], at[once]
    model = load("induction-8-letters")
    x = torch.from_numpy(tokens)
    patterns = cm.site.pattern(0, 0), cm.site.pattern(1, 0)
    run = model.run(x, read=patterns)
    answers = run.logits[:, -1].argmax(-1).numpy()
    assert np.mean(answers == tokens[np.arange(len(at)), at + 1]) == pytest.approx(0.9817, abs=0.004)
    previous = run[patterns[0]].diagonal(offset=-1, dim1=1, dim2=2)[..., :-1].mean(0)  # of all letters but the last
    assert float(previous.min()) > 0.7 and float(previous.max()) < 0.99
    induction = run[patterns[1]][torch.arange(len(at)), -1, torch.from_numpy(at + 1)].mean()
    assert float(induction) == pytest.approx(0.89, abs=0.02)


@needs_models
@pytest.mark.parametrize("name", ["tracr-reverse", "tracr-xproportion"])
def test_compiled_programs(name: str) -> None:
    examples = json.loads((MODELS / name / "examples.json").read_text())
    spec = json.loads((MODELS / name / "config.json").read_text())["tracr"]
    logits = load(name).run(torch.tensor([e[0] for e in examples])).logits[:, 1:]
    if spec["output"] == "numerical":
        torch.testing.assert_close(logits[..., 0], torch.tensor([e[1] for e in examples]), rtol=1e-5, atol=1e-5)
    else:
        assert [[spec["output_values"][i] for i in row] for row in logits.argmax(-1).tolist()] == [
            e[1] for e in examples
        ]


STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big "
    "dog. The dog was very friendly and wanted to play with her. Lily was happy and they played together all day."
)


@needs_models
def test_stories() -> None:
    """A Hugging Face Llama with grouped-query attention loads from its folder and tells stories."""
    model = cm.load_model(MODELS / "stories260K", device="cpu")
    ids = model.tokenizer(STORY, return_tensors="pt").input_ids
    heads = [cm.site.pattern(layer) for layer in range(5)]
    run = model.run(ids, read=[*heads, cm.site.k(0)])
    assert float(torch.nn.functional.cross_entropy(run.logits[0, :-1], ids[0, 1:])) < 1.27  # nats a token
    assert run[cm.site.k(0)].shape[2:] == (4, 8)
    previous = torch.cat([run[p][0].diagonal(offset=-1, dim1=0, dim2=2).mean(-1) for p in heads])  # [layer * 8 + head]
    assert set(previous.topk(2).indices.tolist()) == {3 * 8 + 6, 1 * 8 + 3}


@needs_models
def test_stories_pronouns() -> None:
    """The pronoun agrees with its noun, always."""
    model = cm.load_model(MODELS / "stories260K", device="cpu")
    people = [("girl", n) for n in ("Lily", "Mia", "Sue", "Amy", "Anna")] + [
        ("boy", n) for n in ("Tim", "Tom", "Max", "Ben", "Jack")
    ]
    graph = cm.CausalModel(
        {"person": people, "age": ("little", "young")},
        {"pronoun": lambda person: " She" if person[0] == "girl" else " He", "said": lambda pronoun, age: pronoun},
        "said",
    )
    prompt = "Once upon a time, there was a {age} {person[0]} named {person[1]}."
    task = cm.Task(graph, prompt=prompt, answer="{said}", choices=[" She", " He"])
    pairs = task.pairs(100, vary=["pronoun"], seed=0)
    assert cm.filter_pairs(model, pairs)[1] == 0


def tiny() -> tuple[dict, dict]:
    config = {
        "n_layers": 1,
        "n_heads": 2,
        "d_model": 6,
        "d_head": 3,
        "d_mlp": 4,
        "d_vocab": 5,
        "n_ctx": 4,
        "d_vocab_out": -1,
    }
    g = torch.Generator().manual_seed(0)
    shapes = {
        "embed.W_E": (5, 6), "pos_embed.W_pos": (4, 6), "unembed.W_U": (6, 5), "unembed.b_U": (5,),
        "blocks.0.attn.W_Q": (2, 6, 3), "blocks.0.attn.W_K": (2, 6, 3), "blocks.0.attn.W_V": (2, 6, 3),
        "blocks.0.attn.W_O": (2, 3, 6), "blocks.0.attn.b_Q": (2, 3), "blocks.0.attn.b_O": (6,),
        "blocks.0.mlp.W_in": (6, 4), "blocks.0.mlp.b_in": (4,), "blocks.0.mlp.W_out": (4, 6), "blocks.0.mlp.b_out": (6,),
    }  # fmt: skip
    weights = {name: torch.randn(shape, generator=g, dtype=torch.float64) for name, shape in shapes.items()}
    return config, weights


@pytest.mark.parametrize("norm", [None, "LNPre", "LN"])
def test_the_computation_written_out(norm: str | None) -> None:
    config, w = tiny()
    if norm == "LN":
        for ln in ("blocks.0.ln1", "blocks.0.ln2", "ln_final"):
            w |= {f"{ln}.w": torch.full((6,), 1.5).double(), f"{ln}.b": torch.full((6,), 0.2).double()}
    net = cm.load_transformer_lens(
        {**config, "normalization_type": norm}, {**w, "blocks.0.attn.mask": torch.ones(4, 4)}
    )

    def normed(x: torch.Tensor) -> torch.Tensor:
        if norm is None:
            return x
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        return x * 1.5 + 0.2 if norm == "LN" else x

    tokens = torch.tensor([[1, 4, 2]])
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][:3]
    a, out = normed(x), torch.zeros_like(x)
    for h in range(2):
        q = a @ w["blocks.0.attn.W_Q"][h] + w["blocks.0.attn.b_Q"][h]
        k, v = a @ w["blocks.0.attn.W_K"][h], a @ w["blocks.0.attn.W_V"][h]
        scores = (q @ k.transpose(1, 2) / 3**0.5).masked_fill(~torch.ones(3, 3).tril().bool(), -torch.inf)
        out = out + scores.softmax(-1) @ v @ w["blocks.0.attn.W_O"][h]
    x = x + out + w["blocks.0.attn.b_O"]
    hidden = (normed(x) @ w["blocks.0.mlp.W_in"] + w["blocks.0.mlp.b_in"]).relu()
    x = x + hidden @ w["blocks.0.mlp.W_out"] + w["blocks.0.mlp.b_out"]
    torch.testing.assert_close(net(tokens), normed(x) @ w["unembed.W_U"] + w["unembed.b_U"])


def test_what_cannot_be_computed_is_refused() -> None:
    config, w = tiny()
    with pytest.raises(ModelError, match="gated_mlp=True"):
        cm.load_transformer_lens({**config, "gated_mlp": True}, w)
    with pytest.raises(ModelError, match="W_K|k.weight is missing"):
        cm.load_transformer_lens({**config, "normalization_type": None}, {k: x for k, x in w.items() if "W_K" not in k})
    with pytest.raises(ModelError, match="shape"):
        cm.load_transformer_lens({**config, "normalization_type": None, "d_mlp": 7}, w)
    with pytest.raises(SpecError, match="act_fn"):
        cm.load_transformer_lens({**config, "act_fn": "tanh"}, w)
