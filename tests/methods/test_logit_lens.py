"""Does the lens read what the final norm and unembedding give after each layer? Against plain calls of the modules."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi import Inputs
from causalmi.errors import DataError, ModelError, PositionError
from causalmi.methods.logit_lens import logit_lens
from tests.family_networks import draw_images, vit
from tests.networks import Network, draw_tokens, every_transformer, gpt2, mlp, reference


def by_hand(net: torch.nn.Module, tokens: Tensor) -> list[Tensor]:
    """Log probabilities of GPT-2 after the embeddings and after each block, from the model's own hidden states."""
    with torch.no_grad():
        out = net.eval()(tokens, output_hidden_states=True)
        middle = [net.lm_head(net.transformer.ln_f(h)) for h in out.hidden_states[:-1]]  # the last is normed already
    return [logits.log_softmax(-1) for logits in (*middle, out.logits)]


def test_tokens_of_every_layer_by_hand() -> None:
    net, tokens = gpt2(), draw_tokens(3, 1)
    frame = logit_lens(net, tokens, top=2, batch_size=2)
    assert list(frame) == ["example", "position", "layer", "rank", "token", "logprob"]
    assert len(frame) == 3 * 5 * 5 * 2
    for layer, wanted in enumerate(by_hand(net, tokens), start=-1):
        best = wanted.topk(2)
        mine = frame[frame["layer"] == layer]
        assert mine["token"].tolist() == best.indices.flatten().tolist()
        assert np.allclose(mine["logprob"], best.values.flatten())
        assert mine["rank"].tolist() == [0, 1] * 15
    assert set(frame["layer"]) == {-1, 0, 1, 2, 3}


@every_transformer
def test_the_last_layer_is_the_networks_output(network: Network) -> None:
    model = cm.load_model(network.make())
    tokens = draw_tokens(4, 2)
    at = model.adapter.readout_position or 0 if network.name == "classifier" else "last"
    frame = logit_lens(model, tokens, at=at)
    logits = model.run(tokens).logits
    own = (logits if logits.ndim == 2 else logits[:, -1]).log_softmax(-1).max(-1)
    last = frame[frame["layer"] == model.adapter.shape.n_layers - 1]
    assert last["token"].tolist() == own.indices.tolist()
    assert np.allclose(last["logprob"], own.values)


def test_padding_is_left_out_and_changes_nothing() -> None:
    tokens = draw_tokens(3, 4)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[:, :2] = False
    shifted = Inputs.of(torch.cat([torch.zeros(3, 2, dtype=torch.long), tokens], 1), mask)
    for at in (None, 1, "last", [0, -1]):
        plain, moved = (logit_lens(reference(), x, at=at) for x in (tokens, shifted))
        assert plain[["example", "position", "layer", "token"]].equals(moved[["example", "position", "layer", "token"]])
        assert np.allclose(plain["logprob"], moved["logprob"])
    assert set(plain["position"]) == {0, 4}


def test_means_over_pairs_by_hand() -> None:
    net, base = gpt2(), draw_tokens(6, 1)
    answer, foil = torch.arange(6), torch.arange(6) + 2
    pairs = cm.CounterfactualPairs.from_tokens(base, draw_tokens(6, 2), answer=answer, foil=foil)
    frame = logit_lens(net, pairs, batch_size=4)
    assert frame["layer"].tolist() == [-1, 0, 1, 2, 3] and set(frame["position"]) == {"last"} and set(frame["n"]) == {6}
    i = torch.arange(6)
    for row, wanted in enumerate(by_hand(net, base)):
        logprob = wanted[i, -1, answer]
        assert frame["logprob"][row] == pytest.approx(float(logprob.mean()))
        assert frame["logit_diff"][row] == pytest.approx(float((logprob - wanted[i, -1, foil]).mean()))
        assert frame["rank"][row] == pytest.approx(float((wanted[:, -1] > logprob[:, None]).sum(1).double().mean()))
        half = 2.5706 * float(logprob.std()) / 6**0.5  # Student's t with 5 degrees of freedom
        assert frame["logprob_high"][row] - frame["logprob"][row] == pytest.approx(half, rel=1e-4)
    several = logit_lens(net, pairs, at=[1, "last"], metrics=["kl"])
    assert several["position"].tolist() == [1] * 5 + ["last"] * 5
    assert np.allclose(several["kl"][several["layer"] == 3], 0.0) and (several["kl"][several["layer"] < 3] > 0).all()


def test_tokens_are_shown_where_someone_knows_how() -> None:
    inputs = Inputs.of(draw_tokens(2, 1))
    shown = logit_lens(gpt2(), replace(inputs, tokens_text=lambda token: f"<{token}>"))
    assert shown["text"].tolist() == [f"<{token}>" for token in shown["token"]]
    assert shown.drop(columns="text").equals(logit_lens(gpt2(), inputs))


def test_the_logit_difference_is_left_out_where_a_pair_has_none() -> None:
    pairs = cm.CounterfactualPairs.from_tokens(draw_tokens(6, 1), draw_tokens(6, 2), answer=3)
    assert "logit_diff" not in logit_lens(gpt2(), pairs)
    with pytest.raises(DataError, match="needs a wrong answer"):
        logit_lens(gpt2(), pairs, metrics=["logit_diff"])


def test_what_has_no_lens_is_refused() -> None:
    pairs = cm.CounterfactualPairs.from_tokens(draw_tokens(6, 1), draw_tokens(6, 2), answer=3)
    with pytest.raises(ModelError, match="needs a decoder"):
        logit_lens(mlp(), torch.zeros(2, 6))
    with pytest.raises(ModelError, match="positions are not known"):
        logit_lens(vit(), draw_images(2, 0))
    with pytest.raises(DataError, match="give pairs"):
        logit_lens(gpt2(), draw_tokens(2, 1), metrics=["rank"])
    with pytest.raises(DataError, match="top is 11; give how many tokens to show, 1 to 10"):
        logit_lens(gpt2(), draw_tokens(2, 1), top=11)
    with pytest.raises(PositionError, match="not one position"):
        logit_lens(gpt2(), pairs, at=[lambda example: [0, 1]])
    with pytest.raises(PositionError, match="position 9"):
        logit_lens(gpt2(), draw_tokens(2, 1), at=9)
    with pytest.raises(DataError, match="answer"):
        logit_lens(gpt2(), cm.CounterfactualPairs.from_tokens(draw_tokens(6, 1), draw_tokens(6, 2)))
