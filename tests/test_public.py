"""Is every public name there, for the interpreter and for the type checker alike?"""

import ast
from pathlib import Path
from types import ModuleType

import pytest

import causalmi


def typed_names() -> dict[str, str]:
    """What the TYPE_CHECKING block imports: public name -> module it comes from."""
    tree = ast.parse(Path(causalmi.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    nodes = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in nodes for alias in node.names}


def test_both_lists_agree() -> None:
    packages = {name: home.rpartition(".")[0] for name, home in causalmi._MODULES.items()}
    assert typed_names() == causalmi._HOMES | packages


@pytest.mark.parametrize("name", sorted(causalmi.__all__))
def test_every_name_loads(name: str) -> None:
    assert getattr(causalmi, name) is not None
    assert name in dir(causalmi)


def test_site_is_the_module_of_site_constructors() -> None:
    from causalmi import site

    assert isinstance(site, ModuleType)
    assert site.__name__ == "causalmi.spec.site"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'intervene_everywhere'"):
        _ = causalmi.intervene_everywhere
