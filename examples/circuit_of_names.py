"""Which edges of a language model find the indirect object? Scores of all edges, circuits of all sizes, a search.

    python examples/circuit_of_names.py            SmolLM2-135M, all 70,651 edges; ten to twenty minutes
    python examples/circuit_of_names.py 8 200      fewer pairs, a search of fewer edges

"When Mary and John went to the market, John gave a ticket to" is continued by " Mary"; where a third name takes the
place of the second " John", nothing says which of the two it should be. Needs the extra lm.
"""

import sys
import time
from itertools import permutations

import torch

import causalmi as cm

n = int(sys.argv[1]) if len(sys.argv) > 1 else 16
edges = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
NAMES = ("Mary", "John", "Tom", "James", "Anna", "Paul", "Sarah", "Mark", "Emma", "Jack", "Kate", "Peter")
TEMPLATES = (
    "When {} and {} went to the market, {} gave a ticket to",
    "After {} and {} came to the station, {} handed a letter to",
    "While {} and {} sat in the garden, {} passed a cup to",
    "Then {} and {} met at the library, and {} lent a book to",
)


def names_pairs(tokenizer, n: int, seed: int) -> cm.CounterfactualPairs:
    """Half of them name the first again, half the second; the source names somebody else instead."""
    generator = torch.Generator().manual_seed(seed)
    trios = list(permutations(NAMES, 3))
    base, source, answer, foil = [], [], [], []
    for i, trio in enumerate(torch.randperm(len(trios), generator=generator)[:n].tolist()):
        first, second, third = trios[trio]
        again, other = (first, second) if i % 2 else (second, first)
        template = TEMPLATES[i // 2 % len(TEMPLATES)]
        base.append(template.format(first, second, again))
        source.append(template.format(first, second, third))
        answer.append(tokenizer(f" {other}")["input_ids"][0])
        foil.append(tokenizer(f" {again}")["input_ids"][0])
    tokenizer.padding_side = "left"
    given = tokenizer(base + source, return_tensors="pt", padding=True)
    tokens, mask = given["input_ids"], given["attention_mask"].bool()
    assert torch.equal(mask[:n], mask[n:]), "each name is one token"
    return cm.CounterfactualPairs.from_tokens(tokens[:n], tokens[n:], answer=answer, foil=foil, mask=mask[:n])


model = cm.load_model("smollm2")
search, held_out = (names_pairs(model.tokenizer, n, seed) for seed in (0, 1))
clean = model.run(held_out.base).logits[:, -1]
right = clean.gather(1, held_out.base_labels[:, None]) > clean.gather(1, held_out.foil[:, None])
print(f"{float(right.float().mean()):.2f} of the {n} held-out prompts are answered with the right one of two names")

started = time.time()
scores = cm.edge_scores(model, search, metric="logit_diff", method=cm.EAPIG(steps=5))
print(f"\nEAP-IG, 5 steps, {len(scores):,} edges, {n} pairs: {time.time() - started:.0f} s. The strongest:")
print(scores.sort_values("score", ascending=False).head(12).to_string(index=False))

print("\nEdges and their faithfulness on the held-out prompts, always from the logits up to the best-scored edge next:")
others = {"magnitude": cm.Magnitude(), "random": cm.RandomScores()}
curves = {"EAP-IG": scores}
curves |= {name: cm.edge_scores(model, search, metric="logit_diff", method=method) for name, method in others.items()}
for name, each in curves.items():
    curve = cm.faithfulness_curve(model, each, held_out, metric="logit_diff", select="greedy")
    print(f"{name:10} CPR {curve.cpr.value:6.3f}  CMD {curve.cmd.value:6.3f}  ", end="")
    print("  ".join(f"{row.edges}: {row.faithfulness:.2f}" for row in curve.frame.itertuples()), flush=True)

started = time.time()
top = cm.TopN(edges).circuit(scores)
found = cm.find_circuit(
    model, search, metric="logit_diff", method=cm.ACDC(threshold=0.02), among=top, split=None, checkpoint=None
)
print(f"\nACDC among the best {edges}: {time.time() - started:.0f} s, {found.cost}")
print(found)
