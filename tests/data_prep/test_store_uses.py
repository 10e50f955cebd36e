"""What is done with a prepared store: page, export, command."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.corpus_page import write_page
from data_prep.export import export_webdataset
from data_prep.preparation import prepare
from tests.data_prep.miniature import phantom, scan, write_csv
from vol3d.cli import prep
from vol3d.cli.main import _Parser
from vol3d.errors import ConfigError
from vol3d.volume.manifest import read_manifest
from vol3d.volume.write import write_volume


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three scans, one of them mirrored, and a store of it."""
    root = tmp_path_factory.mktemp("own")
    write_volume(phantom(2).volume, root / "a.nii.gz")
    volume = phantom(3).volume
    write_volume(volume.with_array(np.ascontiguousarray(volume.numpy()[:, :, ::-1])), root / "<b>.nii.gz")
    write_volume(scan(modality="MR"), root / "c.nii.gz")
    columns = ("path", "Emphysema", "mask")
    write_csv(root / "t.csv", columns, [dict(zip(columns, (n, 1, ""), strict=True)) for n in ("a.nii.gz", "<b>.nii.gz", "c.nii.gz")])
    return root


@pytest.fixture(scope="module")
def store(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    prepare("nifti_csv", own, folder)
    return folder


def test_page_names_counts_refusals_and_presets(store: Path) -> None:
    text = write_page(store).read_text(encoding="utf-8")
    assert "3 series found, 2 in the store" in text
    assert "mirrored" in text
    assert "ct_clip" in text
    assert "data:image/png;base64," in text
    assert "http" not in text.replace("http-equiv", "")
    assert "<b>.nii" not in text


def test_export_is_readable_and_repeatable(store: Path, tmp_path: Path) -> None:
    first = export_webdataset(store, tmp_path / "one", per_shard=1)
    second = export_webdataset(store, tmp_path / "two", per_shard=1)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    row = next(row for row in read_manifest(store) if row.series == "a")
    for path in first:
        with tarfile.open(path) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
        if "a.json" in members:
            assert json.loads(members["a.json"])["sha256"] == row.sha256
            assert np.array_equal(np.load(io.BytesIO(members["a.ct.npy"])), phantom(2).volume.numpy())
    with pytest.raises(ConfigError):
        export_webdataset(store, tmp_path / "three", split="nowhere")


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    parser = _Parser()
    prep.add_arguments(parser)
    code = prep.run(parser.parse_args(words))
    return code, capsys.readouterr().out


def test_command(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "store")
    code, out = command(capsys, "nifti_csv", str(own), target, "--json")
    document = json.loads(out)
    assert (code, document["stored"], document["quarantined"]) == (0, 2, {"mirrored": 1})
    assert Path(document["page"]).is_file()
    code, out = command(capsys, "nifti_csv", str(own), target, "--accept", "mirrored", "--json")
    assert json.loads(out)["stored"] == 3
    assert command(capsys, "verify", target)[0] == 0
    assert len(json.loads(command(capsys, "export", target, str(tmp_path / "tars"), "--json")[1])["shards"]) >= 1
    assert "ct_rate" in command(capsys, "list")[1]
    lines = tmp_path / "train.jsonl"
    counts = json.loads(command(capsys, "instruct", target, str(lines), "--json")[1])["counts"]
    assert sum(counts.values()) == len(lines.read_text(encoding="utf-8").splitlines()) > 0
    with pytest.raises(ConfigError, match="spacing"):
        command(capsys, "encode", target, "--spacing", "1,2")
    assert command(capsys, "page", target)[1].strip().endswith("report.html")
    with pytest.raises(ConfigError):
        command(capsys, "verify")
    with pytest.raises(ConfigError, match="salt"):
        command(capsys, "deidentify", str(own), str(tmp_path / "x"))


def test_public_name() -> None:
    import data_prep

    assert data_prep.prepare is prepare
    with pytest.raises(AttributeError):
        data_prep.prepared  # noqa: B018
