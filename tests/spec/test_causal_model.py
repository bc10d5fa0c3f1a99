"""A causal model computes what its mechanisms say, in one example and in many, with and without interventions."""

from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalmi.errors import DataError, SpecError
from causalmi.spec.causal_model import CausalModel, Setting
from tests.spec.small_models import addition, models

BASE = {"x": 1, "y": 2, "z": 3}
SOURCE = {"x": 4, "y": 4, "z": 0}


def typed(values: Any) -> list[tuple[type, Any]]:
    """Values with their types: to tell True from 1 and 1 from 1.0."""
    return [(type(v), v) for v in values]


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*(table[c].tolist() for c in table), strict=True)]


def test_the_textbook_example() -> None:
    model = addition()
    assert model.run(BASE) == {"x": 1, "y": 2, "z": 3, "partial": 3, "total": 6}
    assert model.interchange(BASE, {"partial": SOURCE})["total"] == 11
    assert model.intervene(BASE, {"partial": 0}) == BASE | {"partial": 0, "total": 3}


def test_what_a_model_says_about_itself() -> None:
    model = addition()
    assert model.inputs == ("x", "y", "z")
    assert model.variables == ("x", "y", "z", "partial", "total")
    assert dict(model.parents) == {"x": (), "y": (), "z": (), "partial": ("x", "y"), "total": ("partial", "z")}
    assert set(model.graph.edges) == {("x", "partial"), ("y", "partial"), ("partial", "total"), ("z", "total")}
    assert model.input_domains["x"] == tuple(range(10))
    assert dict(model.domains) == {}
    assert repr(model) == "CausalModel(inputs: x, y, z; partial(x, y); total(partial, z); output: total)"


def test_a_model_cannot_be_changed() -> None:
    model = addition()
    with pytest.raises(AttributeError):
        model.output = "partial"  # type: ignore[misc]
    with pytest.raises(TypeError):
        model.parents["x"] = ("y",)  # type: ignore[index]
    with pytest.raises(nx.NetworkXError):
        model.graph.add_edge("total", "x")
    with pytest.raises(AttributeError):
        model.run(BASE).fixed = frozenset("x")  # type: ignore[misc]
    assert len({model, addition()}) == 2


def test_mechanisms_may_come_in_any_order() -> None:
    model = CausalModel({"x": [1]}, {"c": lambda b: b + 1, "b": lambda a: a * 2, "a": lambda x: x + 1}, "c")
    assert model.variables == ("x", "a", "b", "c")
    assert model.run({"x": 1})["c"] == 5


def test_two_sources_and_an_intervened_one() -> None:
    model = addition()
    both = model.interchange(BASE, {"partial": SOURCE, "z": {"x": 0, "y": 0, "z": 9}})
    assert (both["total"], both.fixed) == (17, {"partial", "z"})
    source = model.intervene(SOURCE, {"partial": 100})
    assert model.interchange(BASE, {"partial": source})["total"] == 103
    assert model.interchange(BASE, {"total": source})["total"] == 100


def test_an_intervened_base_stays_intervened() -> None:
    model = addition()
    base = model.intervene(BASE, {"partial": 50})
    assert model.run(base) == base
    assert model.interchange(base, {"z": SOURCE})["total"] == 50
    assert model.interchange(base, {"x": SOURCE})["total"] == 53, "partial no longer follows from x"
    assert model.interchange(base, {"partial": SOURCE})["total"] == 11
    assert repr(base) == "Setting(x=1, y=2, z=3, partial:=50, total=53)"


def test_an_intervened_table_stays_intervened() -> None:
    model = addition()
    table = pd.DataFrame([BASE, SOURCE])
    base = model.intervene_columns(table, {"partial": [50, 8]})  # 8 is what row 1 has anyway
    assert model.interchange_columns(base, {"x": table})["total"].tolist() == [53, 8]
    moved = model.intervene_columns(base, {"x": [9, 9]})
    assert moved["partial"].tolist() == [50, 8]
    assert moved.attrs["fixed"] == ("x", "partial")
    only_inputs = base[list(model.inputs)]
    assert model.run_columns(only_inputs)["partial"].tolist() == [3, 8], "without its column nothing is fixed"


def test_tables_are_matched_by_row_and_keep_the_index_of_the_base() -> None:
    model = addition()
    base = pd.DataFrame([BASE, SOURCE], index=["a", "b"])
    source = pd.DataFrame([SOURCE, BASE], index=[7, 7])
    result = model.interchange_columns(base, {"partial": source})
    assert list(result.index) == ["a", "b"]
    assert result["total"].tolist() == [11, 3]


def test_a_table_that_was_changed_by_hand_is_refused() -> None:
    model = addition()
    table = model.run_columns(pd.DataFrame([BASE]))
    table["partial"] = 5
    with pytest.raises(DataError, match=r"partial is not what its mechanism gives; use intervene"):
        model.interchange_columns(table, {"z": table})
    assert model.interchange_columns(pd.DataFrame([BASE]), {"partial": table})["total"].tolist() == [8], "as a source"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"x": 1, "y": 2}, "a setting without z; give every input: x, y, z"),
        ({**BASE, "w": 1}, "the unknown names 'w'"),
        ({**BASE, "x": 10}, "x is 10, which is not one of 0, 1"),
        ({**BASE, "x": "1"}, "x is '1'"),
        ({**BASE, "x": float("nan")}, "x: nan cannot be a value"),
        ({**BASE, "x": [1]}, r"x: \[1\] cannot be a value"),
        ([1, 2, 3], r"\[1, 2, 3\] is not a setting; give a Mapping"),
    ],
)
def test_a_setting_that_does_not_fit(setting: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        addition().run(setting)
    if isinstance(setting, dict):
        with pytest.raises(DataError, match=said):
            addition().run_columns(pd.DataFrame({k: pd.Series([v], dtype=object) for k, v in setting.items()}))


def test_what_else_does_not_fit() -> None:
    model = addition()
    with pytest.raises(SpecError, match="'parital': no such variable; there are x, y, z, partial, total"):
        model.interchange(BASE, {"parital": SOURCE})
    with pytest.raises(DataError, match="partial has 2 values for 1 rows"):
        model.intervene_columns(pd.DataFrame([BASE]), {"partial": [1, 2]})
    with pytest.raises(DataError, match="x has 2 values for 1 rows"):
        model.interchange_columns(pd.DataFrame([BASE]), {"partial": pd.DataFrame([BASE, SOURCE])})
    with pytest.raises(DataError, match="5 is not a setting"):
        model.interchange(BASE, {"partial": 5})  # type: ignore[dict-item]
    with pytest.raises(DataError, match="one value per example"):
        model.intervene_columns(pd.DataFrame([BASE]), {"partial": np.zeros((1, 2))})
    with pytest.raises(DataError, match="a name twice"):
        model.run_columns(pd.DataFrame([[1, 2, 3, 3]], columns=["x", "y", "z", "z"]))


def test_values_become_the_members_of_their_domain() -> None:
    model = addition()
    given = {"x": np.int64(1), "y": 2.0, "z": True}
    assert typed(model.run(given).values()) == typed([1, 2, 1, 3, 4])
    assert rows(model.run_columns(pd.DataFrame([given]))) == [{"x": 1, "y": 2, "z": 1, "partial": 3, "total": 4}]


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "Int64", "category", "object"])
def test_tables_of_any_dtype(dtype: str) -> None:
    result = addition().run_columns(pd.DataFrame([BASE, SOURCE]).astype(dtype))
    assert {str(t) for t in result.dtypes} == {"int64"}
    assert result["total"].tolist() == [6, 8]


def test_text_and_tuples() -> None:
    model = CausalModel(
        {"name": ["Ann", "Bob"], "other": ("Ann", "Bob"), "at": [(0, 1), (2, 3)]},
        {"same": lambda name, other: name == other, "said": lambda same, at, name: (name[at[0] // 2], same)},
        "said",
    )
    table = model.enumerate()
    assert table["name"].dtype == table["at"].dtype == object
    assert table["same"].dtype == bool
    assert rows(table) == [dict(model.run(row)) for row in rows(table[list(model.inputs)])]
    assert model.run({"name": "Bob", "other": "Bob", "at": (2, 3)})["said"] == ("o", True)


def test_an_empty_table() -> None:
    empty = addition().run_columns(pd.DataFrame({"x": [], "y": [], "z": []}, dtype="int64"))
    assert list(empty) == ["x", "y", "z", "partial", "total"]
    assert len(empty) == 0


def test_enumerate_lists_every_setting_in_order() -> None:
    table = addition().enumerate()
    assert len(table) == 1000
    assert table.iloc[123].tolist() == [1, 2, 3, 3, 6]
    assert (table["total"] == table["x"] + table["y"] + table["z"]).all()


def test_what_cannot_be_enumerated() -> None:
    with pytest.raises(SpecError, match="there are 1,000 settings, more than the limit of 999"):
        addition().enumerate(limit=999)
    drawn = CausalModel({"x": lambda rng: rng.normal()}, {"y": lambda x: x > 0}, "y")
    with pytest.raises(SpecError, match="the values of x are drawn"):
        drawn.enumerate()


def test_equivalence_classes_of_the_sum() -> None:
    classes = addition().equivalence_classes("partial")
    assert list(classes) == list(range(19))
    assert [len(classes[value]) for value in (0, 9, 18)] == [10, 100, 10]
    with pytest.raises(SpecError, match="'sum': no such variable"):
        addition().equivalence_classes("sum")


@given(models(), st.data())
def test_equivalence_classes_partition_the_enumeration(model: CausalModel, data: st.DataObject) -> None:
    variable = data.draw(st.sampled_from(model.variables))
    classes, table = model.equivalence_classes(variable), model.enumerate()
    assert sorted(i for rows_of in classes.values() for i in rows_of.index) == list(range(len(table)))
    for value, rows_of in classes.items():
        assert all(v == value for v in rows_of[variable])


@given(models())
def test_columns_are_the_rows(model: CausalModel) -> None:
    table = model.enumerate()
    by_row = [model.run(row) for row in rows(table[list(model.inputs)])]
    for name in model.variables:
        assert typed(table[name].tolist()) == typed(row[name] for row in by_row), name


@given(models(), st.data(), st.integers(1, 7))
def test_interchanges_of_columns_are_those_of_the_rows(model: CausalModel, data: st.DataObject, n: int) -> None:
    vary = data.draw(st.lists(st.sampled_from(model.variables), unique=True, min_size=1))
    base, sources = model.sample_pairs(n, vary, seed=data.draw(st.integers(0, 9)))
    table = model.interchange_columns(base, sources)
    for i, row in enumerate(rows(table)):
        one = model.interchange(rows(base)[i], {v: rows(sources[v])[i] for v in vary})
        assert typed(row.values()) == typed(one.values())
        assert one.fixed == set(vary)


@given(models(), st.data())
def test_interchange_with_itself_changes_nothing(model: CausalModel, data: st.DataObject) -> None:
    vary = data.draw(st.lists(st.sampled_from(model.variables), unique=True))
    base = model.sample(5, seed=1)
    run = model.run_columns(base)
    pd.testing.assert_frame_equal(model.interchange_columns(base, dict.fromkeys(vary, base)), run)
    pd.testing.assert_frame_equal(model.interchange_columns(run, dict.fromkeys(vary, run)), run)


@given(models(), st.permutations(["left", "right", "z"]))
def test_simultaneous_interchanges_have_no_order(model: CausalModel, order: list[str]) -> None:
    base, sources = model.sample_pairs(6, ["left", "right", "z"], seed=2)
    in_order = model.interchange_columns(base, {v: sources[v] for v in order})
    pd.testing.assert_frame_equal(in_order, model.interchange_columns(base, sources))


@given(models(), st.data())
def test_an_interchange_changes_descendants_only(model: CausalModel, data: st.DataObject) -> None:
    variable = data.draw(st.sampled_from(model.variables))
    base, sources = model.sample_pairs(6, [variable], seed=3)
    run, result = model.run_columns(base), model.interchange_columns(base, sources)
    assert result[variable].tolist() == model.run_columns(sources[variable])[variable].tolist()
    for name in set(model.variables) - nx.descendants(model.graph, variable) - {variable}:
        assert result[name].tolist() == run[name].tolist()


def test_settings_are_mappings() -> None:
    setting = Setting({"a": 1, "b": 2}, frozenset({"b"}))
    assert dict(setting) == {"a": 1, "b": 2} == setting
    assert len(setting) == 2
    assert "c" not in setting
