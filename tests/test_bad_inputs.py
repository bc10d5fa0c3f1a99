"""Each mistake of a user's ends in one clear sentence and status 2, before anything is computed."""

import re
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from causalmi.cli import app

HEAD = """
import causalmi as cm
from causalmi import site
inputs = {"a": range(4), "b": range(4)}
def model(**mechanisms):
    return cm.CausalModel(inputs, mechanisms or {"half": lambda a: a // 2, "out": lambda half, b: (half + b) % 2}, "out")
def task(**changes):
    given = dict(encode=lambda v: [v["a"] / 4, v["b"] / 4, 0, 0, 0, 0, 0, 0], label=lambda v: int(v["out"]))
    return cm.Task(model(), **(changes or given))
def claim(**changes):
    return cm.Hypothesis(**{**dict(
        claim="half is in layer1", task=task(), model="equality-handcrafted",
        alignment={"half": site.module("layer1")[0:4]}, n=8), **changes})
words = dict(prompt="{a} plus {b} is", answer=" {out}")
"""

CASES = {
    "cyclic model": ("task = model(half=lambda out: out, out=lambda half, a, b: half)", "cycle: .*half"),
    "unknown parent": ("task = model(half=lambda c, a: c, out=lambda half, b: b)", "unknown parent 'c'"),
    "site not in model": ("@cm.hypothesis\ndef h():\n return claim(alignment={'half': site.module('layer9')})",
                          "no submodule 'layer9'"),
    "layer out of range": ("@cm.hypothesis\ndef h():\n return claim(task=task(**words), model=MODEL, alignment={'half': site.resid_post(7)})",
                           "no layer 7; its layers are 0 to 1"),
    "position past the end": ("@cm.hypothesis\ndef h():\n return claim(task=task(**words), model=MODEL, "
                              "alignment={'half': site.resid_post(1, at=9)})", "position 9 is not there"),
    "unequal lengths": ("@cm.hypothesis\ndef h():\n return claim(task=task(prompt=lambda v: '{a} plus {b} is' if v['a'] % 2 else "
                        "'well {a} plus {b} is', answer=' {out}'), model=MODEL, alignment={'half': site.resid_post(1, at="
                        "lambda e: list(range(len(e.tokens))))})", "unequal lengths"),
    "NaN weights": ("@cm.hypothesis\ndef h():\n return claim(task=task(**words), model=BROKEN, alignment={'half': site.resid_post(1, at=0)})",
                    "NaN or infinite"),
    "answer of two tokens": ("@cm.hypothesis\ndef h():\n return claim(task=task(prompt='{a} plus {b} is', answer=' {out} {out}'), "
                             "model=MODEL, alignment={'half': site.resid_post(1, at=0)})", "must be exactly one"),
    "unknown variable": ("@cm.hypothesis\ndef h():\n return claim(alignment={'third': site.module('layer1')})",
                         "unknown variable 'third'; the causal model has a, b, half, out"),
    "no hypothesis": ("x = 3", "holds no hypothesis"),
    "no such model": ("@cm.hypothesis\ndef h():\n return claim(model='no/such/folder')", "could not be loaded"),
    "a fault in the file": ("1 / 0", r":\d+: ZeroDivisionError"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    vocabulary = {w: i for i, w in enumerate(["<unk>", "well", "plus", "is", *"0123456789"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = {}
    for name in ("MODEL", "BROKEN"):
        config = LlamaConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=len(vocabulary)
        )
        net, folder = LlamaForCausalLM(config), tmp_path_factory.mktemp(name)
        if name == "BROKEN":
            torch.nn.init.constant_(net.lm_head.weight, float("nan"))
        net.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
        made[name] = str(folder)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", *arguments])


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_in_the_file(case: str, tmp_path: Path, folders: dict[str, str]) -> None:
    body, says = CASES[case]
    file = tmp_path / "claim.py"
    file.write_text(f"MODEL, BROKEN = {folders['MODEL']!r}, {folders['BROKEN']!r}\n{HEAD}\n{body}\n")
    message = refused(run(str(file), "--device", "cpu"))
    assert re.search(says, message), message


GOOD = (
    HEAD + "@cm.hypothesis\ndef h(width: int = 4):\n return claim(alignment={'half': site.module('layer1')[0:width]})"
)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.py"], "there is no file 'nowhere.py'"),
        (["README.md"], "not a Python file"),
        (["FILE@other"], "no hypothesis 'other'; it has h"),
        (["FILE", "-P", "width=wide"], "'wide' is no int"),
        (["FILE", "-P", "depth=1"], "no parameter 'depth'; its parameters are: width"),
        (["FILE", "-P", "width"], "write -P key=value"),
        (["FILE", "-P", "width=99"], "neuron 98 is past the end"),
        (
            ["FILE", "--tests", "scrubbing"],
            "no test 'scrubbing'; the tests are observational, local, interchange, scrub, or all",
        ),
        (["FILE", "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_a_mistake_on_the_command_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    file, text = tmp_path / "claim.py", tmp_path / "README.md"
    file.write_text(GOOD)
    text.write_text("no Python")
    given = [a.replace("FILE", str(file)).replace("README.md", str(text)) for a in arguments]
    assert says in refused(run(*given))


def test_an_option_that_is_no_number() -> None:
    result = run("x.py", "--n", "many")
    assert result.exit_code == 2 and "'--n'" in result.stderr and "Traceback" not in result.stderr


def test_earlier_results_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "claim.py"
    file.write_text(GOOD)
    out = tmp_path / "out"
    assert run(str(file), "--out", str(out), "--n", "64").exit_code == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert set(before) == {"record.json", "result.json", "interchange.csv"}
    assert "already holds a run" in refused(run(str(file), "--out", str(out)))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
