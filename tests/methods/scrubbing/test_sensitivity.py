"""Does a claim's table say what each part is worth, and how much depends on the unmapped rest?"""

import pytest

import causalmi as cm
from tests.ground_truth.fixtures import identical, unmapped_cancel


def test_each_variable_is_worth_what_goes_with_it() -> None:
    table = cm.leave_one_out(identical.hypothesis, n=300).set_index("without")
    assert table.loc["", "recovered"] == 1
    assert (table.loc[["A", "B"], "recovered"] < 0.5).all()
    assert (table.loc[["A", "B"], "worth_low"] > 0).all()


def test_the_draws_for_all_else_are_the_same() -> None:
    """B's values do not depend on A, so leaving out A changes no example whose A was drawn alike anyway."""
    whole = cm.scrub(identical.hypothesis, n=100, controls=())
    again = cm.scrub(identical.hypothesis, n=100, controls=())
    assert whole.frame.equals(again.frame)


def test_terms_that_cancel_show_in_the_sensitivity() -> None:
    table = cm.unmapped_sensitivity(unmapped_cancel.hypothesis, n=200).set_index("unmapped")
    assert table.loc["node", "recovered"] == 1 and table.loc["exact", "recovered"] == 1
    assert table.loc["term", "recovered"] < 0.5
    assert "no pairs" in table.loc["paired", "reason"]


def test_an_exact_table_has_no_intervals() -> None:
    model = identical.hypothesis.task.model
    data = model.enumerate()[list(model.inputs)].iloc[::7]
    table = cm.leave_one_out(identical.hypothesis, data=data, n="all")
    assert (table["worth"].dropna() == table["worth_low"].dropna()).all()
    assert table["recovered"][0] == pytest.approx(1)
