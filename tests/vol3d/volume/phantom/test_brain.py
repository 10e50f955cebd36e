"""Head MR: contrasts, tissue, tumour."""

import numpy as np
import pytest

from vol3d.contracts import Status
from vol3d.errors import ConfigError
from vol3d.volume.phantom import Lesion, Phantom, phantom_mr
from vol3d.volume.phantom.brain import CONTRASTS

GRID = {"shape_zyx": (64, 80, 80), "spacing_mm": (3.0, 3.0, 3.0)}


def mean(phantom: Phantom, structure: str) -> float:
    return float(phantom.volume.numpy()[phantom.labels.mask(structure)].mean())


@pytest.fixture(scope="module")
def heads() -> dict[str, Phantom]:
    return {contrast: phantom_mr(3, **GRID, contrast=contrast, lesions=(Lesion.sphere("brain_tumour", 30.0, side="left"),)) for contrast in CONTRASTS}


def test_tissues_have_the_order_of_their_contrast(heads):
    order = {
        "t1": ("csf", "grey_matter", "white_matter", "scalp"),
        "t2": ("white_matter", "grey_matter", "oedema", "ventricles"),
        "flair": ("ventricles", "white_matter", "grey_matter", "oedema"),
    }
    for contrast, names in order.items():
        values = [mean(heads[contrast], name) for name in names]
        assert (np.diff(values) > 0).all(), (contrast, values)


def test_contrast_medium_lights_up_the_tumour(heads):
    ratio = {contrast: mean(heads[contrast], "brain_tumour") / mean(heads[contrast], "white_matter") for contrast in ("t1", "t1c")}
    assert ratio["t1c"] > 1.5 * ratio["t1"]


def test_all_contrasts_show_the_same_head(heads):
    first = heads["t1"].labels.array
    for phantom in heads.values():
        assert np.array_equal(phantom.labels.array, first)
        assert phantom.volume.modality == "MR"
        assert phantom.volume.numpy().min() >= 0


def test_the_tumour_is_exact_and_inside_the_brain(heads):
    phantom = heads["flair"]
    (lesion,) = phantom.lesions
    assert lesion.volume_ml == pytest.approx(np.pi * 30**3 / 6000)
    assert lesion.visible_ml == pytest.approx(lesion.volume_ml, rel=0.03)
    assert lesion.side == "left"
    assert lesion.centre_ras_mm[0] < 0
    assert (phantom.labels.mask("brain") >= phantom.labels.mask("brain_tumour")).all()
    assert phantom.labels.mask("oedema").any()


@pytest.mark.parametrize("seed", range(3))
def test_a_brain_has_an_adults_size(seed):
    phantom = phantom_mr(seed, **GRID, lesions=())
    volume = phantom.labels.mask("brain").sum() * phantom.volume.voxel_ml
    assert 900 < volume < 1700
    grey, white = (phantom.labels.mask(name).sum() for name in ("grey_matter", "white_matter"))
    assert 0.6 < grey / white < 2.5
    assert phantom.labels.status("brain_tumour") is Status.ABSENT
    assert not any(phantom.report_labels.values())


def test_the_same_seed_gives_the_same_head():
    small = {"shape_zyx": (32, 40, 40), "spacing_mm": (6.0, 6.0, 6.0)}
    first, again = phantom_mr(5, **small), phantom_mr(5, **small)
    assert np.array_equal(first.volume.numpy(), again.volume.numpy())
    assert first.findings == again.findings


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="flair"):
        phantom_mr(0, contrast="pd")
    with pytest.raises(ConfigError, match="brain_tumour"):
        phantom_mr(0, lesions=(Lesion("liver_cyst"),))
