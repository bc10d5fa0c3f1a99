"""How is a site written as text? TransformerLens hook names, and the form in which a `Site` prints itself."""

import ast
import re
from typing import Any

from causalmi.errors import SiteError
from causalmi.spec.site_type import KINDS, Site, make

HOOKS = {
    "hook_embed": "embed",
    "ln_final.hook_normalized": "final_norm",
    "blocks.#.hook_resid_pre": "resid_pre",
    "blocks.#.hook_resid_mid": "resid_mid",
    "blocks.#.hook_resid_post": "resid_post",
    "blocks.#.hook_attn_out": "attn_out",
    "blocks.#.hook_mlp_in": "mlp_in",
    "blocks.#.hook_mlp_out": "mlp_out",
    "blocks.#.mlp.hook_post": "mlp_hidden",
    "blocks.#.attn.hook_q": "q",
    "blocks.#.attn.hook_k": "k",
    "blocks.#.attn.hook_v": "v",
    "blocks.#.attn.hook_z": "z",
    "blocks.#.attn.hook_result": "head_out",
    "blocks.#.attn.hook_pattern": "pattern",
}


def parse(text: str) -> Site:
    """The site that ``text`` names: a TransformerLens hook name, or a printed `Site`.

    Raises SiteError when it is neither, or names a hook that has no counterpart here, and for a printed subspace, whose
    directions or featurizer are not in the text.

    >>> parse("blocks.3.attn.hook_z"), parse("resid_post(3, at='before:z')")
    (z(3), resid_post(3, at='before:z'))
    """
    layer = re.search(r"(?<=^blocks\.)\d+", text)
    kind = HOOKS.get(re.sub(r"^blocks\.\d+", "blocks.#", text))
    if kind is not None:
        return Site(kind, int(layer.group()) if layer else None)
    if "hook_" in text:
        raise SiteError(f"{text!r} has no counterpart here; the hook names read are {', '.join(HOOKS)}")
    if ").features(" in text:
        raise SiteError(f"{text!r} does not hold its featurizer; parse what is before .features, and give it again")
    if ").along(" in text:
        raise SiteError(f"{text!r} does not hold its directions; parse what is before .along, and give them again")
    try:
        call = ast.parse(text, mode="eval").body
        return _from_call(call)
    except (SyntaxError, ValueError, TypeError, IndexError):
        raise SiteError(
            f"{text!r} is no site; write it as it prints, such as resid_post(3, at='last'), or as a hook name"
        ) from None


def _from_call(call: ast.expr) -> Site:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in KINDS:
        raise ValueError
    keywords = {k.arg: _literal(k.value) for k in call.keywords if k.arg}
    args = [_literal(arg) for arg in call.args]
    if call.func.id == "module":
        return make("module", path=args[0], **keywords)
    return make(call.func.id, *args, **keywords)


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return range(*map(ast.literal_eval, node.args))
    return ast.literal_eval(node)
