"""Which layer carries it? Search every layer on one half of the prompts, and judge the best on the other half.

    python examples/find_the_layer.py                                         the bracket classifier, seconds
    python examples/find_the_layer.py hypotheses/indirect_object.py 96        a language model, minutes

The file's first hypothesis must have a parameter `layer`; the number is how many pairs to draw.
"""

import sys
from pathlib import Path

import causalmi as cm
from causalmi.runs.hypothesis_file import read_file

file = Path(sys.argv[1] if len(sys.argv) > 1 else "hypotheses/balanced_brackets.py")
n = int(sys.argv[2]) if len(sys.argv) > 2 else 1024

claim = read_file(file).get(None)
model = cm.load_model(claim().model)
pairs = claim().task.pairs(n, vary=claim().variables, seed=0).bind(model.tokenizer)
search, held_out = pairs.split(0.5, seed=0)

scores = {}
for layer in range(model.adapter.shape.n_layers):
    found = cm.interchange_test(claim(layer=layer), model, data=search, controls=[])
    scores[layer] = found.iia.value if found.iia else 0.0
    print(f"layer {layer:2}  {'#' * round(40 * scores[layer]):40}  {scores[layer]:.2f}", flush=True)

best = max(scores, key=scores.__getitem__)
print(cm.interchange_test(claim(layer=best), model, data=held_out))
