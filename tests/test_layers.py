"""Does the package keep the rules no type checker knows: layers, one place for hooks, no pickles, no global seeds?"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "causalmi").rglob("*.py"))
LAYERS = {
    **dict.fromkeys(("errors", "rng"), 0),
    **dict.fromkeys(("spec", "stats"), 1),
    **dict.fromkeys(("data", "results"), 2),
    **dict.fromkeys(("models", "testbeds"), 3),
    **dict.fromkeys(("engine",), 4),
    **dict.fromkeys(("methods",), 5),
    **dict.fromkeys(("report", "runs", "scale"), 6),
    **dict.fromkeys(("cli", "__init__"), 7),
}
TORCH_FREE = ("spec", "stats")
HOOK_FILE = "causalmi/engine/hooks.py"
HOOK_CALLS = ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook", "register_hook")
PICKLE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
GLOBAL_SEEDS = {"torch.manual_seed", "torch.seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all"}
GLOBAL_SEEDS |= {"np.random.seed", "numpy.random.seed", "random.seed", "transformers.set_seed", "set_seed"}
# The initialisers of torch.nn take no generator: fresh networks are drawn under fork_rng, in these files alone.
FORKED_SEEDS = {"causalmi/rng.py", "causalmi/testbeds/training.py"}

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def unit(module: str) -> str:
    """The part of the package that a layer number belongs to: causalmi.spec.site -> spec."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def unit_of(path: Path) -> str:
    return unit(".".join(path.relative_to(ROOT).with_suffix("").parts))


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the tree, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if is_module(full) else str(node.module)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name it is called by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def inner_imports(path: Path) -> set[str]:
    units = {unit(module) for module in imports(parse(path)) if module.split(".")[0] == "causalmi"}
    return units - {unit_of(path)}


def upward(path: Path) -> set[str]:
    return {other for other in inner_imports(path) if LAYERS[other] > LAYERS[unit_of(path)]}


def forked(tree: ast.AST) -> set[ast.AST]:
    """All nodes inside a ``with ...fork_rng(...)``."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
    guarded = [b for b in blocks if any("fork_rng" in ast.unparse(item.context_expr) for item in b.items)]
    return {node for block in guarded for node in ast.walk(block)}


def global_seeds(path: Path) -> list[int]:
    tree = parse(path)
    allowed = forked(tree) if name_of(path) in FORKED_SEEDS else set()
    return [call.lineno for name, call in calls(tree) if name in GLOBAL_SEEDS and call not in allowed]


def unpickles(path: Path) -> list[int]:
    tree = parse(path)
    loads = [call for name, call in calls(tree) if name == "torch.load" and not has_keyword(call, "weights_only", True)]
    arrays = [call for _, call in calls(tree) if has_keyword(call, "allow_pickle", True)]
    reads = [call for name, call in calls(tree) if name.endswith(("read_pickle", "to_pickle"))]
    return [call.lineno for call in (*loads, *arrays, *reads)]


def has_keyword(call: ast.Call, name: str, value: bool) -> bool:
    return any(k.arg == name and isinstance(k.value, ast.Constant) and k.value.value is value for k in call.keywords)


def loaded_after(code: str) -> set[str]:
    """The heavy libraries that are in memory after ``code`` in a fresh interpreter."""
    report = "; import sys; print(*({'torch', 'transformers'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@every_file
def test_every_file_has_a_layer(path: Path) -> None:
    assert unit_of(path) in LAYERS


@every_file
def test_imports_go_downward_only(path: Path) -> None:
    assert not upward(path), f"{name_of(path)} imports from a layer above it"


def test_no_two_parts_import_each_other() -> None:
    edges = {(unit_of(path), other) for path in FILES for other in inner_imports(path)}
    assert list(nx.simple_cycles(nx.DiGraph(list(edges)))) == []


@every_file
def test_report_meets_methods_only_through_results(path: Path) -> None:
    assert unit_of(path) != "report" or "methods" not in inner_imports(path)


@pytest.mark.parametrize("part", TORCH_FREE)
def test_spec_and_stats_name_no_torch(part: str) -> None:
    for path in (ROOT / "causalmi" / part).rglob("*.py"):
        assert not {m.split(".")[0] for m in imports(parse(path))} & {"torch", "transformers"}, name_of(path)


def test_spec_and_stats_load_no_torch() -> None:
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in FILES if unit_of(p) in TORCH_FREE]
    assert loaded_after("import " + ", ".join(m.removesuffix(".__init__") for m in modules)) == set()


def test_import_causalmi_is_light() -> None:
    assert loaded_after("import causalmi; dir(causalmi)") == set()


@every_file
def test_one_file_registers_hooks(path: Path) -> None:
    hooking = [name for name, _ in calls(parse(path)) if name.endswith(HOOK_CALLS)]
    assert not hooking or name_of(path) == HOOK_FILE


@every_file
def test_nothing_is_unpickled(path: Path) -> None:
    assert not {m.split(".")[0] for m in imports(parse(path))} & PICKLE_MODULES
    assert unpickles(path) == []


@every_file
def test_no_global_seeding(path: Path) -> None:
    assert global_seeds(path) == []


def test_the_rules_catch_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "causalmi" / "spec" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("def f():\n    from causalmi.engine.hooks import x\n    torch.manual_seed(0)\n    torch.load('w')\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert upward(bad) == {"engine"}
    assert global_seeds(bad) == [3]
    assert unpickles(bad) == [4]
