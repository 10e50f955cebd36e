"""`ask`, `report` and `demo` end to end on a phantom, with a tiny untrained model: the words are nonsense, all else is real."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.vol3d.tiny_model import save_tiny_model
from vol3d.cli.main import main
from vol3d.contracts import DISCLAIMER


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    from vol3d.volume.phantom import phantom_ct
    from vol3d.volume.write import write_volume

    folder = tmp_path_factory.mktemp("scan")
    phantom = phantom_ct(3, shape_zyx=(64, 80, 80), spacing_mm=(6.0, 6.0, 6.0))
    write_volume(phantom.volume, folder / "phantom.nii.gz")
    return folder / "phantom.nii.gz"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def json_of(capsys):
    captured = capsys.readouterr()
    return json.loads(captured.out)


def test_ask_prints_the_answer_as_one_json_document(scan, model, capsys):
    assert main(["ask", str(scan), "What is the volume of the left lung?", "--model", model, "--json"]) == 0
    answer = json_of(capsys)
    assert {"scan", "question", "text", "choice", "value", "unit", "confidence", "evidence", "trace", "disclaimer"} <= set(answer)
    assert answer["disclaimer"] == DISCLAIMER
    assert "<threshold_ct(lung_left)>" in [step["call"] for step in answer["trace"]]
    assert {item["structure"] for item in answer["evidence"]} == {"lung_left"}
    assert answer["status"] != "answered", "an untrained model's words do not pass for an answer"


def test_ask_writes_a_page_and_shows_text(scan, model, capsys, tmp_path):
    assert main(["ask", str(scan), "What is the volume of the left lung?", "--model", model, "--page", str(tmp_path / "a.html")]) == 0
    out = capsys.readouterr().out
    assert "lung_left" in out
    assert out.rstrip().endswith(DISCLAIMER)
    assert max(map(len, out.splitlines())) <= 400, "the answer itself may be long; tables are not"
    assert "m:lung_left/all/volume" in (tmp_path / "a.html").read_text()


def test_a_mask_of_another_grid_is_refused_with_both_grids(scan, model, capsys, tmp_path):
    from vol3d.volume.geometry import make_affine
    from vol3d.volume.volume import Volume
    from vol3d.volume.write import write_volume

    mask = tmp_path / "mask.nii.gz"
    write_volume(Volume(np.ones((20, 30, 40), np.uint8), make_affine((5.0, 5.0, 5.0)), "unknown", "a.u."), mask)
    assert main(["ask", str(scan), "How large is the liver?", "--model", model, "--mask", str(mask)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "64x80x80" in error
    assert "20x30x40" in error


def test_report_goes_on_past_a_broken_scan_and_exits_1(scan, model, capsys, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(scan.read_bytes()[:-100])
    code = main(["report", str(broken), str(scan), str(tmp_path / "missing.nii"), "--model", model, "--out", str(tmp_path / "out"), "--json"])
    assert code == 1
    results = json_of(capsys)
    assert [result["status"] for result in results][::2] == ["failed", "failed"]
    assert "broken.nii.gz" in results[0]["reason"]
    assert results[1]["status"] in ("written", "partial")
    assert {"scan", "status", "findings", "impression", "claims", "evidence", "page"} <= set(results[0]) & set(results[1])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["phantom.html", "phantom.json"]
    kept = json.loads((tmp_path / "out" / "phantom.json").read_text())
    assert kept == results[1]
    ids = {item["structure"] for item in kept["evidence"]}
    assert {"lung_left", "bone"} <= ids


def test_report_on_one_broken_scan_is_a_refusal(model, capsys, tmp_path):
    (tmp_path / "a.nii").write_text("this is not a scan")
    assert main(["report", str(tmp_path / "a.nii"), "--model", model, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_report_skips_what_is_there_already(scan, model, capsys, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "phantom.json").write_text("{}")
    assert main(["report", str(scan.parent), "--model", model, "--out", str(out), "--skip-existing"]) == 0
    assert "skipped" in capsys.readouterr().out
    assert (out / "phantom.json").read_text() == "{}"


def test_demo_shows_every_step_and_ends_with_the_page(model, capsys, tmp_path):
    assert main(["demo", "--out", str(tmp_path), "--model", model]) == 0
    out = capsys.readouterr().out
    assert out.count("$ vol3d ask") == 3
    assert out.count("$ vol3d report") == 1
    assert "liver_tumour/" in out
    page = Path(out.splitlines()[-1].removeprefix("Open the page: "))
    assert page == tmp_path / "phantom.html"
    assert "m:liver_tumour/" in page.read_text()
