"""The three passes of path patching as a textbook has them, with plain hooks and none of the package's code."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Place = tuple[str, int, int | None, int | None]  # kind, layer, head, position from the end; None: all
Hook = tuple[nn.Module, bool, Callable[[Tensor], Tensor | None]]  # module, whether at its input, what to do there
NAMES = {  # by family: the blocks, the last norm, and in a block where z, the MLP's norm, q, k and v are
    "GPT2LMHeadModel": ("transformer.h", "transformer.ln_f", "attn.c_proj", "ln_2", "attn.c_attn", 6),
    "LlamaForCausalLM": ("model.layers", "model.norm", "self_attn.o_proj", "post_attention_layernorm", "self_attn.{}_proj", 8),
    "Transformer": ("blocks", "ln_final", "attn.o", "ln2", "attn.{}", 5),
}  # fmt: skip


def part(net: nn.Module, place: Place) -> tuple[nn.Module, bool]:
    """The module of a place, and whether its numbers are the module's input."""
    blocks, final, z, norm, qkv, _ = NAMES[type(net).__name__]
    kind = place[0]
    paths = {"z": z, "mlp": "mlp", "mlp_in": norm, "resid_post": "", **{x: qkv.format(x) for x in "qkv"}}
    path = final if kind == "final" else f"{blocks}.{place[1]}.{paths[kind]}".rstrip(".")
    return net.get_submodule(path), kind in ("z", "mlp_in")


def selection(net: nn.Module, place: Place) -> tuple[slice, slice, slice]:
    kind, _, head, at = place
    width = NAMES[type(net).__name__][-1]
    start = 24 * "qkv".index(kind) if kind in "qkv" and type(net).__name__ == "GPT2LMHeadModel" else 0
    columns = slice(None) if head is None else slice(start + head * width, start + (head + 1) * width)
    return slice(None), slice(None) if at is None else slice(at, at + 1 or None), columns


def keep(net: nn.Module, place: Place, store: dict[Place, Tensor]) -> Hook:
    return *part(net, place), lambda t: store.update({place: t.clone()})


def put(net: nn.Module, place: Place, value: Tensor) -> Hook:
    def replace(t: Tensor) -> Tensor:
        new, where = t.clone(), selection(net, place)
        new[where] = value[where]
        return new

    return *part(net, place), replace


def run(net: nn.Module, tokens: Tensor, mask: Tensor, hooks: list[Hook]) -> Tensor:
    """The logits at the last token; padding is on the left."""
    handles = [register(*hook) for hook in hooks]
    with torch.no_grad():
        if type(net).__name__ == "Transformer":
            logits = net(tokens, mask)
        else:
            positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
            logits = net(tokens, attention_mask=mask.long(), position_ids=positions).logits
    [handle.remove() for handle in handles]
    return logits[:, -1]


def register(module: nn.Module, before: bool, act: Callable[[Tensor], Tensor | None]) -> Any:
    def pre(_: nn.Module, args: Any) -> Any:
        new = act(args[0])
        return None if new is None else (new, *args[1:])

    def post(_: nn.Module, args: Any, out: Any) -> Any:
        alone = isinstance(out, Tensor)
        new = act(out if alone else out[0])
        return new if new is None or alone else (new, *out[1:])

    return module.register_forward_pre_hook(pre) if before else module.register_forward_hook(post)


def textbook(
    net: nn.Module, inputs: tuple[Tensor, Tensor, Tensor], sender: Place, receivers: list[Place], frozen: set[str]
) -> Tensor:
    """The logits; in the second pass all heads (and MLPs) of all layers are frozen, and then the sender is set."""
    net, (x, other, mask) = net.eval(), inputs
    layers = len(net.get_submodule(NAMES[type(net).__name__][0]))
    outputs: list[Place] = [(kind, layer, None, None) for kind in ("z", "mlp") for layer in range(layers)]
    here: dict[Place, Tensor] = {}
    there: dict[Place, Tensor] = {}
    found: dict[Place, Tensor] = {}
    for tokens, store in ((x, here), (other, there)):
        run(net, tokens, mask, [keep(net, o, store) for o in outputs])
    hooks = [put(net, o, here[o]) for o in outputs if o[0] in frozen]
    hooks += [put(net, sender, there[(*sender[:2], None, None)])]
    run(net, x, mask, hooks + [keep(net, r, found) for r in receivers])
    return run(net, x, mask, [put(net, r, found[r]) for r in receivers])
