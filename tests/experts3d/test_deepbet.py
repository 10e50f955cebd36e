"""Brain on head MR: found on a head, and nothing painted on anything else."""

import numpy as np
import pytest

from experts3d.deepbet_mri import Candidate
from tests.experts3d.scenes import ellipsoid, scan_of
from vol3d.contracts import Status
from vol3d.errors import ExpertError, MissingExtraError


@pytest.fixture(scope="module")
def expert():
    from experts3d.cards import load_expert

    try:
        return load_expert("deepbet")
    except MissingExtraError as error:
        pytest.skip(str(error))


def candidate(radii_mm: tuple[float, float, float], *, centre: tuple[float, float, float] = (0, 0, 0), unsure: float = 0.02) -> Candidate:
    return Candidate(ellipsoid((64, 64, 64), (4.0, 4.0, 4.0), radii_mm, centre), unsure, (4.0, 4.0, 4.0))


def test_the_size_and_shape_of_a_brain_are_believed_and_others_are_not():
    assert candidate((68, 85, 65)).refusal() is None
    assert "measures" in candidate((120, 100, 60)).refusal()
    assert "measures" in candidate((30, 30, 30)).refusal()
    assert "shape" in candidate((68, 85, 65), unsure=0.2).refusal()
    assert "shape" in candidate((68, 85, 65), centre=(-90, 0, 0)).refusal() or "measures" in candidate((68, 85, 65), centre=(-90, 0, 0)).refusal()
    assert "nothing" in Candidate(np.zeros((8, 8, 8), bool), 0.0, (4.0, 4.0, 4.0)).refusal()


def test_an_abdomen_is_no_head(expert, shared_real):
    from vol3d.volume.read import read_volume

    labels = expert.segment(read_volume(shared_real / "mr_abdomen_slab.nii.gz"))
    assert labels.statuses["brain"] is Status.NOT_COVERED
    assert "no whole head" in labels.reasons["brain"]
    assert not labels.array.any()


@pytest.mark.slow
def test_a_real_head_with_a_tumour(expert, shared_real):
    from experts3d.supplied import SuppliedMasks
    from vol3d.volume.read import read_volume

    scan = read_volume(shared_real / "mr_brain_tumour.nrrd")
    brain = expert.segment(scan).mask("brain")
    tumour = SuppliedMasks(shared_real / "mr_brain_tumour_mask.nrrd", labels={1: "brain_tumour"}).segment(scan).mask("brain_tumour")
    assert 1200 < brain.sum() * scan.voxel_ml < 1900
    assert (brain & tumour).sum() > 0.97 * tumour.sum()


def test_what_it_cannot_do_is_refused(expert):
    with pytest.raises(ExpertError, match="needs MR"):
        expert.segment(scan_of(np.zeros((4, 4, 4), np.int16)))
    with pytest.raises(ExpertError, match="brain only"):
        expert.segment(scan_of(np.zeros((4, 4, 4), np.int16), modality="MR"), ["liver"])
    with pytest.raises(ExpertError, match="no contrast"):
        expert.segment(scan_of(np.zeros((4, 4, 4), np.int16), modality="MR"))
