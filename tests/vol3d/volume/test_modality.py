"""CT or MR, and whether CT is in Hounsfield units: on phantoms, on crops of real scans, at any scale of MR."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vol3d.scans import ct, mr
from vol3d.errors import IntensityError
from vol3d.volume.judge import Judge
from vol3d.volume.modality import Finding, clamp_padding, decide, guess
from vol3d.volume.phantom import phantom_mr
from vol3d.volume.read import read_volume

CT_FILES = ("ct_torso.nii.gz", "ct_chest_crop.nii.gz", "ct_dicom", "ct_abdomen_slab.nii.gz")
MR_FILES = ("mr_abdomen_slab.nii.gz", "mr_brain_tumour.nrrd")


@pytest.mark.parametrize("shift", [0, -1024, -8192, 1024, 8192])
def test_shifts_of_ct_are_found(shift: int) -> None:
    assert guess(ct().array.astype(np.int32) + shift) == Finding("CT", float(shift))


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    return np.asarray(phantom_mr(0, shape_zyx=(48, 96, 96)).volume.array)


@given(scale=st.floats(0.5, 6.0))
@settings(max_examples=25, deadline=None)
def test_mr_is_mr_at_any_scale(brain: np.ndarray, scale: float) -> None:
    assert guess(brain * np.float32(scale)) == Finding("MR")


def test_real_ct_is_ct_and_no_crop_of_it_seems_rescaled_twice(shared_real: Path) -> None:
    rng = np.random.default_rng(0)
    for name in CT_FILES:
        array = read_volume(shared_real / name).array
        assert guess(array) == Finding("CT")
        assert guess(np.maximum(array, -1024).astype(np.int32) + 1024) == Finding("CT", 1024.0)
        for _ in range(20):
            size = [min(n, int(rng.integers(12, 60))) for n in array.shape]
            start = [int(rng.integers(n - s + 1)) for n, s in zip(array.shape, size, strict=True)]
            assert guess(array[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))]).shift == 0.0


def test_real_mr_never_seems_to_be_ct(shared_real: Path) -> None:
    rng = np.random.default_rng(0)
    for name in MR_FILES:
        array = read_volume(shared_real / name).array
        for scale in (1.0, *np.exp(rng.uniform(np.log(0.5), np.log(6), 30))):
            assert guess(np.clip(np.rint(array * scale), -0.05 * array.max(), None)) == Finding("MR")


def test_the_users_word_counts_more_than_the_files() -> None:
    judge = Judge("a.nii")
    assert decide(ct().array, declared="CT", given="MR", judge=judge) == "MR"
    with pytest.raises(IntensityError, match="not look like CT"):
        decide(mr().array, declared="MR", given="CT", judge=judge)
    assert decide(mr().array, declared=None, given="CT", judge=Judge("a.nii", accept=("not_hu",))) == "CT"


def test_ct_that_was_never_rescaled_is_not_called_ct_by_itself() -> None:
    judge = Judge("a.nii")
    assert decide(ct().array + 1024, declared=None, given=None, judge=judge) == "unknown"
    assert [notice.code for notice in judge.notices] == ["not_hu"]
    with pytest.raises(IntensityError, match="1024 HU too high"):
        decide(ct().array + 1024, declared="CT", given=None, judge=judge)


def test_clipped_air_is_no_padding_and_noise_is_none() -> None:
    for array in (np.clip(ct().array, -1024, None), ct().array - 50):
        same, value = clamp_padding(array, Judge("a.nii"))
        assert value is None
        assert np.array_equal(same, array)
    padded = ct().array.copy()
    padded[:, 0] = -2000
    fixed, value = clamp_padding(padded, Judge("a.nii"))
    assert value == -2000
    assert fixed.min() >= -1024
