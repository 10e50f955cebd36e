"""Tables stay within 100 columns; JSON is strict."""

import json

import numpy as np
import pytest

from vol3d.cli.console import WIDTH, print_json, print_table, progress
from vol3d.contracts import Measurement


def test_table_stays_within_100_columns_and_loses_no_text(capsys):
    long = "/a/very/long/path" * 20
    print_table(("scan", "ml"), [(long, 12.5), ("[bold]b[/bold]", 3.0)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    joined = "".join(line.split()[0] for line in lines if line.strip() and line.lstrip()[0] in "/averylongpth")
    assert long in joined
    assert any("[bold]b[/bold]" in line for line in lines), "file names are text, not markup"


def test_json_holds_models_and_numpy_numbers(capsys):
    item = Measurement(name="volume", value=1.5, unit="ml", structure="liver", method="voxels", mask_id="m")
    print_json({"item": item, "n": np.int64(3), "shape": np.array([1, 2])})
    document = json.loads(capsys.readouterr().out)
    assert document["item"]["status"] == "found"
    assert (document["n"], document["shape"]) == (3, [1, 2])


def test_json_refuses_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"x": float("nan")})


def test_progress_is_silent_where_nobody_looks(capsys):
    with progress("Reading", total=2) as advance:
        advance(1, "a.nii")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "")
