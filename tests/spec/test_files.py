"""Files change as a whole, or not at all."""

from pathlib import Path

import pytest

from causalmi.spec.files import write


def test_the_new_text_replaces_the_old(tmp_path: Path):
    write(tmp_path / "a", "old")
    write(str(tmp_path / "a"), "ä")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "ä"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_fails_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(tmp_path / "folder", "text")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "b", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
