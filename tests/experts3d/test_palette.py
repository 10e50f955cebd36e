"""Colours of structures that touch differ for normal, deuteranopic and protanopic eyes, and show over any grey.

The simulation is written again here, so that a slip in the script that chose the colours cannot hide itself.
"""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from benchmarks.touching import finding_pairs, read_together, touching_pairs
from experts3d.anatomy import FINDINGS
from experts3d.label_table import SHIPPED, load_table
from experts3d.palette import LESIONS, colour_of
from experts3d.render import FILL_OPACITY
from vol3d.volume.read import read_mask

# Machado et al., IEEE TVCG 2009, full severity.
BLIND = {
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}
EYES = ("normal", *BLIND)
TOTAL = sorted(load_table("totalseg").values())
ALL_NAMES = sorted({name for table in SHIPPED for name in load_table(table).values()} | set(FINDINGS))


def lab(rgb: list, eyes: str) -> np.ndarray:
    """CIE Lab of 8-bit sRGB as eyes without one kind of cone see it; the matrices apply to linear light."""
    unit = np.array(rgb, float) / 255
    if eyes in BLIND:
        linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4) @ BLIND[eyes].T
        linear = np.clip(linear, 0, 1)
        unit = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(unit)


def distances(pairs: list[tuple[str, str]], eyes: str) -> np.ndarray:
    first, second = ([colour_of(pair[end]) for pair in pairs] for end in (0, 1))
    return deltaE_ciede2000(lab(first, eyes), lab(second, eyes))


def worst_of(pairs: list[tuple[str, str]], away: np.ndarray) -> tuple[float, tuple[str, str]]:
    return round(float(away.min()), 2), pairs[int(away.argmin())]


# Floors a little under what the palette reaches; a just noticeable difference is about 2.3.
@pytest.mark.parametrize(("eyes", "least", "fifth"), [("normal", 14.5, 21.5), ("deuteranopia", 12.5, 16.3), ("protanopia", 12.0, 17.3)])
def test_touching_structures_differ_in_ciede2000(eyes: str, least: float, fifth: float):
    pairs = [pair for pair in touching_pairs() if set(pair) <= set(TOTAL)]
    assert len(pairs) > 600
    away = distances(pairs, eyes)
    assert away.min() > least, worst_of(pairs, away)
    assert np.percentile(away, 5) > fifth


@pytest.mark.parametrize(("eyes", "least"), [("normal", 12.5), ("deuteranopia", 10.0), ("protanopia", 9.0)])
def test_findings_differ_from_their_organ_its_neighbours_and_their_other_side(eyes: str, least: float):
    pairs = finding_pairs()
    assert len(pairs) > 900
    away = distances(pairs, eyes)
    assert away.min() > least, worst_of(pairs, away)


def test_no_two_of_all_classes_look_the_same():
    pairs = list(itertools.combinations(TOTAL, 2))
    away = distances(pairs, "normal")
    assert away.min() > 3.5, worst_of(pairs, away)


def test_the_list_of_touching_pairs_reaches_every_class_and_holds_what_touches_in_a_real_label_map(shared_real):
    listed = set(touching_pairs()) | set(finding_pairs())
    assert set(TOTAL) <= {name for pair in listed for name in pair}
    ids = read_mask(shared_real / "ct_abdomen_slab_totalseg.nii.gz").numpy()
    names, found = load_table("totalseg"), set()
    for axis in range(3):
        lower, upper = np.moveaxis(ids, axis, 0)[:-1], np.moveaxis(ids, axis, 0)[1:]
        meets = (lower != upper) & (lower > 0) & (upper > 0)
        found |= {tuple(sorted((names[a], names[b]))) for a, b in set(zip(lower[meets].tolist(), upper[meets].tolist(), strict=True))}
    assert len(found) > 50
    assert found <= listed, found - listed


@pytest.mark.parametrize("eyes", EYES)
def test_contours_show_over_black_white_and_any_grey(eyes: str):
    names = [name for name in (*ALL_NAMES, *(word for word, _ in LESIONS)) if name != "body"]
    greys = lab([[v, v, v] for v in range(0, 256, 15)], eyes)
    away = deltaE_ciede2000(lab([colour_of(name) for name in names], eyes)[:, None], greys[None])
    for column, least in ((0, 24.0), (-1, 11.0)):
        assert away[:, column].min() > least, names[int(away[:, column].argmin())]
    assert away.min() > (11.5 if eyes == "normal" else 7.5), names[int(away.min(axis=1).argmin())]


@pytest.mark.parametrize("grey", [30, 128, 225])
def test_a_fill_shows_beside_plain_grey(grey: int):
    plain = lab([[grey] * 3], "normal")
    filled = lab([[(1 - FILL_OPACITY) * grey + FILL_OPACITY * value for value in colour_of(name)] for name in ALL_NAMES], "normal")
    away = deltaE_ciede2000(filled, plain)
    assert away.min() > 2.3, ALL_NAMES[int(away.argmin())]


@pytest.mark.parametrize(("eyes", "least"), [("normal", 17.5), ("deuteranopia", 8.2), ("protanopia", 10.5)])
def test_common_organs_differ_wherever_they_lie(eyes: str, least: float):
    pairs = read_together()
    away = distances(pairs, eyes)
    assert away.min() > least, worst_of(pairs, away)


@pytest.mark.parametrize(("eyes", "least"), [("normal", 8.8), ("deuteranopia", 4.5), ("protanopia", 3.5)])
def test_fills_of_common_organs_differ_over_the_grey_of_soft_tissue(eyes: str, least: float):
    pairs = read_together()
    first, second = (lab([[(1 - FILL_OPACITY) * 128 + FILL_OPACITY * v for v in colour_of(pair[end])] for pair in pairs], eyes) for end in (0, 1))
    away = deltaE_ciede2000(first, second)
    assert away.min() > least, worst_of(pairs, away)
