"""`vol3d questions` on files: records on stdout, reasons in a file, one line where the input is wrong."""

import json

import numpy as np
import pytest

from vol3d.cli.main import build_parser, main
from vol3d.volume.geometry import make_affine
from vol3d.volume.phantom import phantom_ct
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_labels, write_volume


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    body = phantom_ct(4, shape_zyx=(60, 64, 80), spacing_mm=(6, 6, 6), region="abdomen")
    write_volume(body.volume, folder / "scan.nii.gz")
    write_labels(body.labels, folder / "labels.nii.gz")
    return folder


def test_records_on_stdout_and_reasons_in_a_file(files, capsys):
    skipped = files / "skipped.jsonl"
    assert main(["questions", str(files / "scan.nii.gz"), "--masks", str(files / "labels.nii.gz"), "--skipped", str(skipped), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"organ volume measurement", "organ HU measurement"} <= {r["question_subtype"] for r in records}
    assert all(r["image_id"] == "scan" and r["evidence"] and r["formula"] for r in records)
    reasons = [json.loads(line) for line in skipped.read_text().splitlines()]
    assert all(r["reason"] for r in reasons)


def test_v1_and_per_subtype(files, capsys):
    arguments = ["questions", str(files / "scan.nii.gz"), "--masks", str(files / "labels.nii.gz"), "--schema", "v1", "--per-subtype", "1"]
    assert main(arguments) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    subtypes = [r["question_subtype"] for r in records]
    assert len(set(subtypes)) == len(subtypes)
    assert "multiple_choice_question" in records[0]


def test_wrong_input_is_one_line(files, tmp_path, capsys):
    other = Volume(np.ones((5, 5, 5), np.uint8), make_affine((6, 6, 6)), "unknown", "a.u.")
    write_volume(other, tmp_path / "other.nii.gz")
    for arguments in (
        ["questions"],
        ["questions", str(files / "scan.nii.gz")],
        ["questions", str(files / "scan.nii.gz"), "--masks", str(tmp_path / "other.nii.gz")],
        ["questions", str(files / "scan.nii.gz"), "--masks", str(files / "labels.nii.gz"), "--families", "pelvis"],
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "Traceback" not in error


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        build_parser(["questions"]).parse_args(["questions", "--help"])
    assert "example:" in capsys.readouterr().out
