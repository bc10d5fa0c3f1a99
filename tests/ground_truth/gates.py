"""Two gates as networks of one layer: two heads each write 1 where the MLP reads, and it gives OR or AND of them."""

import torch

import causalmi as cm


def gate(kind: str, *, driven: bool = False) -> cm.Model:
    """Output 1 is 1 - relu(1 - x) ("or") or relu(x - 1) ("and") of the sum x of the heads; both are 1 at x = 2.

    Each head writes its bias, or where it is ``driven`` by its input the number of the token, 0 or 1.
    """
    sign, rest = {"or": (-1, 1), "and": (1, 0)}[kind]
    config = cm.TransformerConfig(
        n_layers=1, n_heads=2, d_model=3, d_head=1, d_mlp=1, d_vocab=2, n_ctx=2, act_fn="relu",
        normalization_type=None, positional_embedding_type=None,
    )  # fmt: skip
    net = cm.Transformer(config).to(torch.float64)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
        (block,) = net.blocks
        net.unembed.weight.copy_(torch.eye(3)[:2])
        net.embed.weight[1, 2] = 1
        if driven:
            block.attn.v.weight[:, 2] = 1
        else:
            block.attn.v.bias.fill_(1)
        block.attn.o.weight[0] = 1
        block.mlp.up.weight[0, 0], block.mlp.up.bias[0] = sign, -sign
        block.mlp.down.weight[1, 0], block.mlp.down.bias[1] = sign, rest
    return cm.load_model(net)


def pairs() -> cm.CounterfactualPairs:
    """What is put in does not matter: the heads are driven by their biases."""
    return cm.CounterfactualPairs.from_tokens([[0], [1]], [[1], [0]])


def output(logits: torch.Tensor, target: object) -> torch.Tensor:
    """What the gate gives."""
    return logits[:, 1]
