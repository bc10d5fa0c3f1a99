"""How does a name, a folder or a network in memory become a `Model`?"""

import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from causalmi.engine.model import Model
from causalmi.errors import ModelError
from causalmi.models.adapt import adapter_of
from causalmi.models.families import HUGGING_FACE

AUTO = {  # by how the name of a checkpoint's class ends
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForImageClassification": "AutoModelForImageClassification",
}


def load_model(
    source: Any, *, device: str | torch.device | None = None, tokenizer: Any = None, as_module: bool = False
) -> Model:
    """The network that ``source`` names, ready to be read and edited.

    ``source`` is the name of a shipped network (``causalmi.testbeds.NAMES``), a Hugging Face name or local folder, a
    transformers model, or any ``nn.Module``. ``device`` is ``"auto"`` (a GPU if there is one), or a device; None
    leaves a network in memory where it is and acts as ``"auto"`` for a name. A network in memory is never moved: for
    another device a copy is made. ``as_module`` addresses a network by module paths alone, whatever its family.
    Raises ModelError when there is no such network, its family is unknown, its weights are not finite, or the adapter's
    self-check fails.
    """
    if isinstance(source, Model):
        return source
    named = isinstance(source, str | Path)
    module, tokenizer, name = _find(str(source), tokenizer) if named else (source, tokenizer, None)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"a {type(source).__name__} is no network; give a name, a folder, an nn.Module or a transformers model"
        )
    if device is not None or named:
        module = _moved(module, _device(device), copied=not named)
    return Model(adapter_of(module, as_module=as_module), tokenizer=tokenizer, name=name)


def _find(name: str, tokenizer: Any) -> tuple[nn.Module, Any, str]:
    from causalmi import testbeds

    if name in testbeds.NAMES:
        return testbeds.load(name), tokenizer, name
    name_or_path = str(testbeds.smollm2()) if name == "smollm2" else name
    path = Path(name_or_path)
    if not path.exists() and (meant := get_close_matches(name, (*testbeds.NAMES, "smollm2"), n=1, cutoff=0.8)):
        raise ModelError(f"there is no network {name!r}; did you mean the shipped {meant[0]!r}?")
    if path.exists() and not (path / "config.json").is_file():
        raise ModelError(
            f"{name!r} is not a model folder: it has no config.json; give the folder that save_pretrained wrote"
        )
    return *_hugging_face(name_or_path, tokenizer), name


def _hugging_face(name: str, tokenizer: Any) -> tuple[nn.Module, Any]:
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    from causalmi.testbeds import NAMES

    try:
        auto, options, takes_tokens = _how(name)
        loaded: Any = auto.from_pretrained(name, **options)
        tokenizer = tokenizer or (AutoTokenizer.from_pretrained(name) if takes_tokens else None)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{name!r} could not be loaded as a Hugging Face model: {reason}; "
            f"the shipped networks are {', '.join((*NAMES, 'smollm2'))}"
        ) from error
    module, info = loaded
    if lacking := sorted(map(str, (*info["missing_keys"], *info["mismatched_keys"]))):
        raise ModelError(
            f"{name!r} lacks weights, which would be random: {', '.join(lacking[:4])}; get the whole checkpoint"
        )
    return module, tokenizer


def _how(name: str) -> tuple[Any, dict[str, Any], bool]:
    """The transformers class for the head that a checkpoint has, its options, and whether it takes tokens."""
    import transformers

    config: Any = transformers.AutoConfig.from_pretrained(name)
    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    auto = next((to for head, to in AUTO.items() if architecture.endswith(head)), "AutoModelForCausalLM")
    options: dict[str, Any] = {"use_safetensors": True, "dtype": "auto", "output_loading_info": True}
    families = HUGGING_FACE.get(config.model_type, ())
    if any(getattr(config, f.scores_capped, None) is not None for f in families if f.scores_capped):
        options["attn_implementation"] = "eager"  # the faster functions would leave the bound on the scores out
    return getattr(transformers, auto), options, not any(f.pixels for f in families)


def _device(device: str | torch.device | None) -> torch.device:
    if device in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}; try cpu or auto") from None


def _moved(module: nn.Module, device: torch.device, *, copied: bool) -> nn.Module:
    here = next((p.device for p in module.parameters()), device)
    if here.type == device.type and device.index in (None, here.index):
        return module
    return (copy.deepcopy(module) if copied else module).to(device)
