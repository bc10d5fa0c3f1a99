"""Through which places does a difference between two inputs pass? A map of activation patching, as a page to open.

    python examples/patch_a_story.py                      the bracket classifier that ships with the package, seconds
    python examples/patch_a_story.py story.html smollm2   a language model, minutes; or a Hugging Face name or folder

Each source is its base with one thing changed: a bracket turned round, or in a story a boy for a girl. The source is
run with the numbers of one place taken from the base, place after place: how much of the base's answer comes back?
"""

import sys
from html import escape
from itertools import product
from pathlib import Path

from plotly.subplots import make_subplots

import causalmi as cm
from causalmi import site
from causalmi.testbeds.brackets_data import encode, equal_count, never_below

KINDS = {"resid_pre": "what enters the layer", "attn_out": "what attention adds", "mlp_out": "what the MLP adds"}


def brackets(at=4):
    """Balanced strings of ten brackets that have a ( at one place, and the same with a ) there."""
    balanced = [text for s in product("()", repeat=10) if equal_count(text := "".join(s)) and never_below(text)]
    bases = [text for text in balanced if text[at] == "("]
    sources = [text[:at] + ")" + text[at + 1 :] for text in bases]
    return bases, sources, encode, ["start", "(", ")", "end"].__getitem__, {"answer": 1, "foil": 0}


def stories(tokenizer):
    """Openings that go on with She, and the same that go on with He; all of one length, so that they share a map."""
    settings = product(["One day", "One time"], ["little", "big", "happy"])
    openings = [f"{when}, there was a {how}" for when, how in settings]
    bases, sources = ([f"{text} {who}." for text in openings] for who in ("girl named Lily", "boy named Tim"))
    she, he = (tokenizer(bases[0] + word).input_ids[-1] for word in (" She", " He"))
    return bases, sources, lambda text: tokenizer(text).input_ids, tokenizer.decode, {"answer": she, "foil": he}


file = Path(sys.argv[1] if len(sys.argv) > 1 else "patching.html")
if not file.absolute().parent.is_dir() or file.is_dir():
    sys.exit(f"the page cannot be written to {file}; give a file in a folder that is there")
model = cm.load_model(sys.argv[2] if len(sys.argv) > 2 else "balanced-brackets")
bases, sources, tokens, show, answers = stories(model.tokenizer) if model.tokenizer else brackets()
pairs = cm.CounterfactualPairs.from_tokens([*map(tokens, bases)], [*map(tokens, sources)], **answers)

positions = range(pairs.base.values.shape[1])
places = [place for kind in KINDS for place in model.sites(site.grid(kind, at=positions))]
found = cm.activation_patching(model, pairs, places, metric="logit_diff", direction="denoise")
print(found.nlargest(8, "effect")[["site", "effect", "low", "high"]].round(2).to_string(index=False))

labels = []  # plotly takes text for HTML, so a token such as <s> has to be escaped
for base, source in zip(tokens(bases[0]), tokens(sources[0]), strict=True):
    labels.append("<br>↓<br>".join(escape(show(token), quote=False) for token in dict.fromkeys([base, source])))

page = make_subplots(len(KINDS), 1, shared_xaxes=True, vertical_spacing=0.08, subplot_titles=[*KINDS.values()])
for number, kind in enumerate(KINDS, 1):
    rows = found[found["kind"] == kind]
    text = [f"{r.site}: {r.effect:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in rows.itertuples()]
    where = {"x": rows["position"], "y": rows["layer"], "row": number, "col": 1}
    page.add_heatmap(z=rows["effect"], text=text, hoverinfo="text", coloraxis="coloraxis", xgap=1, ygap=1, **where)
most = max(1, found["effect"].abs().max())
bar = {"title": {"text": "effect = (m(patched) − m(source)) / (m(base) − m(source))", "side": "right"}}
page.update_layout(
    title=f"{escape(model.name)}: sources with one place from their bases; {len(pairs)} pairs, m = logit difference",
    coloraxis={"colorscale": "RdBu", "cmin": -most, "cmax": most, "colorbar": bar},
    template="plotly_white",
)
page.update_xaxes(tickvals=[*positions], ticktext=labels, tickangle=0, showgrid=False, zeroline=False)
page.update_xaxes(title="token of the first base, ↓ and of its source where that differs", row=len(KINDS))
page.update_yaxes(title="layer", dtick=1 + found["layer"].max() // 12, showgrid=False, zeroline=False)
page.write_html(file, include_plotlyjs=True)
print(f"the map is in {file.absolute()}")
