from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_prep.check import fingerprint, liver_side, looks_mirrored, similarity
from data_prep.convert import Record, to_stored
from data_prep.duplicates import find_leaks
from data_prep.splits import assign, check_leakage, freeze, load_frozen
from tests.data_prep.miniature import phantom, scan
from vol3d.contracts import Row
from vol3d.errors import CheckpointError, ConfigError, VolumeError
from vol3d.volume.resample import resample


def row(patient: str, *, series: str = "", split: str = "", **labels: int) -> Row:
    name = series or f"{patient}_1"
    return Row(
        study=patient,
        patient=patient,
        series=name,
        path=f"volumes/{name}.zarr",
        modality="CT",
        spacing_mm=(1, 1, 1),
        shape=(2, 2, 2),
        labels=labels,
        split=split,
        sha256=name,
    )


def test_splits_keep_fractions_in_each_stratum_and_patients_together() -> None:
    rows = [row(f"p{i}", series=f"p{i}_{j}", rare=int(i % 10 == 0)) for i in range(400) for j in range(2)]
    found = assign(rows)
    counts = Counter(found.values())
    assert counts["train"] == pytest.approx(320, abs=4)
    rare = Counter(found[f"p{i}"] for i in range(0, 400, 10))
    assert rare["test"] == pytest.approx(4, abs=1)
    assert rare["valid"] == pytest.approx(4, abs=1)
    assert assign(list(reversed(rows))) == found
    with pytest.raises(ConfigError):
        assign(rows, fractions={"train": 0.5})


def test_frozen_patients_never_move(tmp_path: Path) -> None:
    old = assign([row(f"p{i}") for i in range(50)])
    freeze(old, tmp_path / "splits.json")
    new = assign([row(f"p{i}") for i in range(80)], frozen=load_frozen(tmp_path / "splits.json"))
    assert all(new[patient] == split for patient, split in old.items())
    assert len(new) == 80
    text = (tmp_path / "splits.json").read_text(encoding="utf-8")
    (tmp_path / "splits.json").write_text(text.replace("train", "test", 1), encoding="utf-8")
    with pytest.raises(CheckpointError, match="changed"):
        load_frozen(tmp_path / "splits.json")
    (tmp_path / "splits.json").write_text("[]", encoding="utf-8")
    with pytest.raises(VolumeError):
        load_frozen(tmp_path / "splits.json")


def record(item: Row, seed: int) -> Record:
    return Record(item.series, "stored", "", row=item.model_dump(mode="json"), checks={"fingerprint": fingerprint(scan(seed=seed)).tobytes().hex()})


def test_a_patient_in_two_splits_is_taken_out_of_training() -> None:
    records = [record(row("p", series="a", split="train"), 0), record(row("p", series="b", split="valid"), 0), record(row("q", split="train"), 1)]
    assert [(leak.key, leak.reason) for leak in find_leaks(records)] == [("a", "patient_in_two_splits")]
    assert check_leakage([row("p", series="a", split="train"), row("p", series="b", split="valid")]) == ["p"]


def test_a_mirrored_copy_is_found_even_where_no_liver_is_seen() -> None:
    volume = scan(seed=3)
    mirrored = volume.with_array(np.ascontiguousarray(volume.numpy()[:, :, ::-1]))
    records = [
        Record(name, "stored", "", row=row(name, series=name).model_dump(mode="json"), checks={"fingerprint": fingerprint(v).tobytes().hex()})
        for name, v in (("a", volume), ("b", mirrored), ("c", scan(seed=4)))
    ]
    assert [(leak.key, leak.reason) for leak in find_leaks(records)] == [("b", "mirrored")]


def test_fingerprints_know_a_scan_again_and_tell_patients_apart() -> None:
    prints = {}
    for seed in range(4):
        volume = phantom(seed).volume
        thinner = resample(volume, spacing_mm=(5.0, 8.0, 8.0))
        prints[seed] = fingerprint(volume).reshape(-1), fingerprint(thinner).reshape(-1)
    for seed in range(4):
        assert similarity(prints[seed][0][None], prints[seed][1][None])[0, 0] > 0.9995
        others = np.stack([prints[o][0] for o in range(4) if o != seed])
        assert similarity(prints[seed][0][None], others).max() < 0.995


def test_the_liver_tells_right_from_left() -> None:
    sides = []
    for seed in range(12):
        volume = phantom(seed).volume
        mirrored = volume.with_array(np.ascontiguousarray(volume.numpy()[:, :, ::-1]))
        assert not looks_mirrored(liver_side(volume))
        sides.append(looks_mirrored(liver_side(mirrored)))
    assert sum(sides) >= 9  # the rest does not cover the liver


def test_real_scans_have_their_liver_on_the_right(shared_real: Path) -> None:
    from vol3d.volume.read import read_volume

    for name in ("ct_torso.nii.gz", "ct_abdomen_slab.nii.gz"):
        volume = read_volume(shared_real / name)
        side = liver_side(volume)
        assert side is not None
        assert side > 0.4


def test_storing_rounds_and_saturates() -> None:
    volume = scan((20, 20, 20))
    floats = volume.with_array(np.full(volume.shape, -0.6, np.float32), modality="CT", unit="HU")
    assert (to_stored(floats).numpy() == -1).all()
    assert (to_stored(floats.with_array(floats.array + 40000)).numpy() == 32767).all()
