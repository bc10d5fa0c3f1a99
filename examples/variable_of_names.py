"""Where does a language model keep which of two names was repeated? One direction, sought at every tenth of its depth.

    python examples/variable_of_names.py                 SmolLM2-135M, 10 layers x 2 positions; about ten minutes, 4 GB
    python examples/variable_of_names.py kept            the same; when interrupted, it goes on from the folder "kept"
    python examples/variable_of_names.py kept 160 20     fewer pairs, fewer steps

"When Mary and John went to the market, John gave a ticket to" is continued by " Mary". The causal model has a binary
variable between the two: whether the first or the second name is the repeated one. Its sources name other people and
flip it, so what carries it over must be the variable and not a name. Needs the extra lm.
"""

import resource
import sys
import time
from pathlib import Path

import torch

import causalmi as cm
from causalmi import site

sys.path.insert(0, str(Path(__file__).parents[1] / "hypotheses"))
from indirect_object import repeated_name

folder = sys.argv[1] if len(sys.argv) > 1 else None
n = int(sys.argv[2]) if len(sys.argv) > 2 else 320
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 60
LAYERS = range(2, 30, 3)
POSITIONS = {"subject": "the second mention of a name", -1: "the last token"}
BATCH = 32

model = cm.load_model("smollm2")
claim = repeated_name()
places = [site.resid_post(layer, at=at) for layer in LAYERS for at in POSITIONS]
pairs = claim.task.pairs(n, vary=["repeated"], seed=0).bind(model.tokenizer)


def told(stage: str, done: int, total: int) -> None:
    if done % 20 == 0:
        print(f"  {stage} {done}/{total}, {time.time() - started:.0f} s", file=sys.stderr, flush=True)


print(f"{n} pairs such as\n  base   {pairs.base.show(0)}\n  source {pairs.source.show(0)}")
started, worked = time.time(), time.process_time()
found = cm.align(
    claim, model, method=cm.DAS(dims=1, steps=steps, batch=BATCH, check=20), sites=places, data=pairs,
    progress=told, checkpoint=folder,
)  # fmt: skip
clock, processor = time.time() - started, time.process_time() - worked

print("\nInterchange intervention accuracy of the direction found there, on the validation pairs:")
iia = dict(zip(map(str, places), found.frame["iia"], strict=True))
print("layer   " + "  ".join(f"{text:>28}" for text in POSITIONS.values()))
for layer in LAYERS:
    print(f"{layer:5}   " + "  ".join(f"{iia[str(site.resid_post(layer, at=at))]:28.2f}" for at in POSITIONS))
print(f"\nchosen by them: {found.chosen['place']}\n\n{found}")

batch = pairs.rows(slice(0, BATCH))
embed = model.module.get_input_embeddings()


def whole_passes() -> tuple[float, float]:
    """Seconds of processor time of a forward pass of a batch, and of the backward pass through all its layers."""
    x = embed(batch.base.values).detach().requires_grad_()
    begun = time.process_time()
    logits = model.module(inputs_embeds=x).logits[:, -1]
    between = time.process_time()
    torch.autograd.grad(logits.gather(1, batch.base_labels[:, None]).sum(), x)
    return between - begun, time.process_time() - between


whole_passes()
forward, backward = whole_passes()
above = sum(1 - (layer + 1) / model.adapter.shape.n_layers for layer in LAYERS) / len(LAYERS)
each = 2 * forward + above * backward
whole = each * steps * len(places)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(
    f"\n{clock / 60:.1f} minutes, {processor / 60:.1f} of processor time, controls included; {peak:.1f} GB at the peak"
)
print(
    f"{steps * len(places)} steps of a whole pass of the source, one of the base and one back to the place would take "
    f"{whole / 60:.0f} minutes of processor time, {each:.1f} s each: {whole / processor:.1f} times all of this"
)
