"""Extras: what pyproject.toml declares, the doctor lists; what is missing names its pip command."""

import tomllib
from pathlib import Path

import pytest

from vol3d.errors import MissingExtraError
from vol3d.extras import EXTRAS, require


def test_missing_module_names_the_pip_command():
    with pytest.raises(MissingExtraError, match=r"no_such_module_here is not installed. Run: pip install 'vol3d\[dicom\]'"):
        require("no_such_module_here", extra="dicom")


def test_a_broken_module_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("import one_of_its_own_parts\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="one_of_its_own_parts") as caught:
        require("broken_module", extra="dicom")
    assert not isinstance(caught.value, MissingExtraError)


def test_extras_are_those_of_pyproject():
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    declared = set(tomllib.loads(pyproject.read_text())["project"]["optional-dependencies"]) - {"all"}
    assert declared == set(EXTRAS)
