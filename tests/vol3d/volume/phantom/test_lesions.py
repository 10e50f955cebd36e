"""Lesions: every kind can be placed, lies in its host, has the analytic size, and keeps its own id."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vol3d.contracts import Status
from vol3d.errors import ConfigError
from vol3d.volume.phantom import Lesion, Phantom, phantom_ct
from vol3d.volume.phantom.build import draw_build
from vol3d.volume.phantom.lesions import ELLIPSOIDS, KINDS
from vol3d.volume.phantom.placement import draw_lesions

MEDIUM = {"shape_zyx": (96, 110, 110), "spacing_mm": (4.0, 4.0, 4.0)}


def mask_of(phantom: Phantom, lesion: Lesion) -> np.ndarray:
    return phantom.labels.array == lesion.label_id


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 500), st.floats(18.0, 36.0), st.tuples(*[st.floats(-0.75, 0.75)] * 3))
def test_a_sphere_has_its_volume_and_diameters_at_1p5_mm(seed, diameter, offset):
    """4/3 pi r^3 within 2%; extents within one voxel."""
    lesion = Lesion("liver_tumour", centre_ras_mm=(30.0 + offset[0], 10.0 + offset[1], 75.0 + offset[2]), diameters_mm=(diameter,) * 3)
    phantom = phantom_ct(seed, shape_zyx=(56, 48, 48), spacing_mm=(1.5, 1.5, 1.5), lesions=(lesion,))
    mask = phantom.labels.mask("liver_tumour")
    x, y, z = ((mask.any(axis=axes)).nonzero()[0] for axes in ((0, 1), (0, 2), (1, 2)))
    # The window is centred on x = 0: the sphere must lie in it whole for the comparison to mean something.
    if min(x[0], y[0], z[0]) == 0 or x[-1] == 47 or y[-1] == 47 or z[-1] == 55:
        return
    assert mask.sum() * 1.5**3 == pytest.approx(np.pi * diameter**3 / 6, rel=0.02)
    assert phantom.lesions[0].volume_ml == pytest.approx(np.pi * diameter**3 / 6000)
    for extent in (x, y, z):
        assert abs((extent[-1] - extent[0] + 1) * 1.5 - diameter) <= 1.5


def test_a_20_mm_sphere_is_4_19_ml():
    lesion = Lesion.sphere("liver_cyst", 20.0, centre_ras_mm=(20.0, 10.0, 75.0))
    phantom = phantom_ct(1, shape_zyx=(56, 64, 64), spacing_mm=(1.5, 1.5, 1.5), lesions=(lesion,), noise_hu=5.0)
    assert phantom.lesions[0].visible_ml == pytest.approx(4.19, rel=0.02)
    inside = phantom.volume.numpy()[phantom.labels.mask("liver_cyst")]
    assert np.median(inside) == pytest.approx(phantom.lesions[0].density_hu, abs=6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_placed(kind):
    for seed in (0, 6):
        phantom = phantom_ct(seed, **MEDIUM, lesions=(Lesion(kind),))
        (lesion,) = phantom.lesions
        assert phantom.labels.status(lesion.structure) is Status.FOUND, seed
        assert lesion.visible_ml == pytest.approx(mask_of(phantom, lesion).sum() * 0.064)
        assert lesion.visible_ml > 0.05
        assert lesion.density_hu is not None
        if kind in ELLIPSOIDS:
            assert lesion.visible_ml == pytest.approx(lesion.volume_ml, rel=0.35 if lesion.volume_ml < 2 else 0.1)


@pytest.mark.parametrize(
    ("kind", "organ"),
    [
        ("liver_tumour", "liver"),
        ("liver_cyst", "liver"),
        ("kidney_cyst", "kidneys"),
        ("pancreas_lesion", "pancreas"),
        ("lung_nodule", "lungs"),
        ("consolidation", "lungs"),
        ("emphysema", "lungs"),
        ("bone_lesion", "spine"),
        ("coronary_calcification", "heart"),
        ("aortic_calcification", "aorta"),
    ],
)
def test_an_organ_includes_its_lesion(kind, organ):
    phantom = phantom_ct(2, **MEDIUM, lesions=(Lesion(kind),))
    (lesion,) = phantom.lesions
    mask = mask_of(phantom, lesion)
    assert (phantom.labels.mask(organ) & mask).sum() == mask.sum() > 0
    assert lesion.host in phantom.labels.structures
    assert (phantom.labels.mask(str(lesion.host)) & mask).sum() == mask.sum()


@pytest.mark.parametrize("kind", ["liver_tumour", "lung_nodule"])
@pytest.mark.parametrize("seed", range(3))
def test_a_drawn_lesion_replaces_its_host_and_nothing_else(kind, seed):
    healthy = phantom_ct(seed, **MEDIUM, lesions=())
    ill = phantom_ct(seed, **MEDIUM, lesions=(Lesion.sphere(kind, 18.0),))
    (lesion,) = ill.lesions
    host = healthy.labels.mask(str(lesion.host)) | healthy.labels.mask("portal_vein_and_splenic_vein")
    assert host[mask_of(ill, lesion)].mean() > 0.85
    changed = healthy.labels.array != ill.labels.array
    assert np.array_equal(changed, mask_of(ill, lesion))


@pytest.mark.parametrize("kind", ["kidney_tumour", "kidney_cyst", "pleural_effusion", "lung_nodule", "consolidation"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_lesion_lies_on_the_side_that_was_asked_for(kind, side):
    phantom = phantom_ct(3, **MEDIUM, lesions=(Lesion(kind, side=side),))
    (lesion,) = phantom.lesions
    x = (phantom.labels.affine @ np.array([*np.argwhere(mask_of(phantom, lesion)).mean(axis=0), 1.0]))[0]
    assert lesion.side == side
    assert x < 0 if side == "left" else x > 0
    if KINDS[kind].sided:
        other = {"left": "right", "right": "left"}[side]
        assert lesion.structure == f"{kind}_{side}"
        assert phantom.labels.status(f"{kind}_{other}") is Status.ABSENT
        assert np.array_equal(phantom.labels.mask(kind), mask_of(phantom, lesion))


def test_more_effusion_is_more_fluid_and_less_lung():
    small, large = (phantom_ct(3, **MEDIUM, lesions=(Lesion("pleural_effusion", side="left", amount=amount),)) for amount in (0.15, 0.8))
    assert large.lesions[0].visible_ml > 3 * small.lesions[0].visible_ml > 0
    assert large.labels.mask("lung_left").sum() < small.labels.mask("lung_left").sum()
    y_fluid, y_lung = (np.argwhere(large.labels.mask(name))[:, 1].mean() for name in ("pleural_effusion_left", "lung_left"))
    assert y_fluid < y_lung


def test_each_lesion_has_its_own_id_and_shares_its_name():
    lesions = tuple(
        Lesion.sphere("lung_nodule", 14.0, host=host) for host in ("lung_upper_lobe_left", "lung_lower_lobe_right", "lung_upper_lobe_right")
    )
    phantom = phantom_ct(4, **MEDIUM, lesions=lesions)
    ids = [lesion.label_id for lesion in phantom.lesions]
    assert len(set(ids)) == 3
    assert set(phantom.labels.ids("lung_nodule")) == set(ids)
    assert sum(mask_of(phantom, lesion).sum() for lesion in phantom.lesions) == phantom.labels.mask("lung_nodule").sum()


def test_lesions_are_brighter_or_darker_as_asked():
    lesions = (Lesion.sphere("bone_lesion", 18.0, density_hu=900.0, host="vertebrae_L1"), Lesion.sphere("liver_cyst", 30.0, density_hu=0.0))
    phantom = phantom_ct(4, **MEDIUM, lesions=lesions, noise_hu=2.0)
    values = phantom.volume.numpy()
    bone, cyst = (values[mask_of(phantom, lesion)] for lesion in phantom.lesions)
    assert np.percentile(bone, 80) > 700
    assert abs(np.median(cyst)) < 15


def test_draws_are_balanced():
    """A healthy share, every kind about as often as promised, nothing outside of its region."""
    drawn = [draw_lesions(draw_build(seed), "chest_abdomen") for seed in range(300)]
    assert 0.10 < np.mean([not lesions for lesions in drawn]) < 0.21
    for kind in KINDS:
        share = np.mean([any(lesion.kind == kind for lesion in lesions) for lesions in drawn])
        assert 0.22 < share < 0.38, kind
    abdomen = {lesion.kind for seed in range(60) for lesion in draw_lesions(draw_build(seed), "abdomen")}
    assert not abdomen & {"lung_nodule", "pericardial_effusion", "emphysema"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: phantom_ct(0, lesions=(Lesion("brain_tumour"),)),
        lambda: Lesion("liver_cyst", diameters_mm=(0.0, 1.0, 1.0)),
        lambda: Lesion("liver_cyst", side="middle"),
        lambda: Lesion("emphysema", amount=2.0),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
