"""Choose a colour for every structure name; writes experts3d/tables/palette.csv and prints how far apart touching structures are.

    python -m benchmarks.make_palette            # choose (a minute), write, print
    python -m benchmarks.make_palette --figures  # print the figures of the palette as it is

Simulated annealing from a fixed seed spends the distances (CIEDE2000) on pairs that touch, for normal, deuteranopic and protanopic eyes
alike; pairs with a common neighbour and all other pairs count less. Common structures stay near a strong colour wished for them, and those that
are read together must differ as a fill as well, where most of the colour is the grey of the scan.
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from benchmarks.touching import finding_pairs, read_together, touching_pairs
from experts3d.anatomy import is_lesion
from experts3d.label_table import SHIPPED, load_table
from experts3d.palette import colour_of
from experts3d.render import FILL_OPACITY
from experts3d.threshold_ct import NAMES

# Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, full severity: linear RGB as seen without green or without red cones.
EYES = {
    "normal": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}
# After Okabe and Ito (jfly.uni-koeln.de/color, 2008) and the habits of atlases: red arteries, blue veins and air, yellow fat, pale bone.
WISHED = {
    "liver": (225, 115, 30), "stomach": (255, 205, 180), "spleen": (150, 50, 190), "kidney_left": (10, 130, 60), "kidney_right": (80, 215, 150),
    "pancreas": (245, 225, 40), "gallbladder": (130, 210, 40), "urinary_bladder": (235, 200, 60), "colon": (190, 120, 240),
    "aorta": (205, 10, 45), "heart": (190, 30, 80), "inferior_vena_cava": (30, 50, 215), "portal_vein_and_splenic_vein": (0, 120, 190),
    "lung": (86, 180, 233), "lungs": (86, 180, 233), "lung_left": (175, 195, 235), "lung_right": (120, 165, 235), "lung_aerated": (100, 190, 245),
    "airway": (0, 80, 150), "trachea": (0, 80, 150), "bone": (235, 225, 170), "fat": (230, 190, 80), "soft_tissue": (190, 100, 80),
    "brain": (230, 159, 0),
}  # fmt: skip
# How far from the wish a colour may go (CIEDE2000), and how dull it may be.
RADIUS, LEAST_CHROMA = 24.0, 45.0
RADII = {"liver": 15.0, "aorta": 16.0, "inferior_vena_cava": 14.0, "soft_tissue": 14.0, "bone": 14.0, "fat": 14.0}
# Findings that need a colour apart from their kind's own; the kinds' colours are fixed in experts3d/palette.py.
OWN_COLOUR = (
    "lung_nodule",
    "lung_ground_glass_nodule",
    "kidney_tumour_right",
    "kidney_cyst_right",
    "pleural_effusion_right",
    "pericardial_effusion",
    "hiatal_hernia",
)
# A contour is drawn over any grey: least CIEDE2000 to black, to white and to every grey between.
LEAST_TO_BLACK, LEAST_TO_WHITE, LEAST_TO_GREY = 25.0, 12.0, {"normal": 12.0, "deuteranopia": 8.0, "protanopia": 8.0}
# CIEDE2000 that a pair is worth striving for, and what a miss weighs: touching, with a common neighbour, any.
TARGETS, WEIGHTS = (16.0, 8.0, 5.0), (1.0, 0.05, 3.0)
SOFTNESS = 1.2
# Structures read together weigh more, and must differ as fills over the grey of soft tissue.
TOGETHER_WEIGHT, FILL_TARGET, FILL_WEIGHT, FILL_SOFTNESS, MID_GREY = 2.0, 5.0, 1.0, 0.8, 128


def seen_by(rgb: np.ndarray, eyes: str) -> np.ndarray:
    """Lab of 8-bit sRGB colours as these eyes see them, `n 3`; the matrices apply to linear light."""
    unit = np.asarray(rgb, float).reshape(-1, 3) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ EYES[eyes].T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))


def between(first: np.ndarray, second: np.ndarray, eyes: str) -> np.ndarray:
    """CIEDE2000 of every colour of the first to every one of the second, `n m`."""
    return deltaE_ciede2000(seen_by(first, eyes)[:, None], seen_by(second, eyes)[None])


def legible(rgb: np.ndarray) -> np.ndarray:
    """Whether a contour of each colour stands out from black, white and grey, to all three kinds of eyes."""
    greys = np.repeat(np.linspace(0, 255, 18)[:, None], 3, axis=1)
    away = {eyes: between(rgb, greys, eyes) for eyes in EYES}
    least = np.min(list(away.values()), axis=0)
    shows = np.all([away[eyes].min(axis=1) >= LEAST_TO_GREY[eyes] for eyes in EYES], axis=0)
    return (least[:, 0] >= LEAST_TO_BLACK) & (least[:, -1] >= LEAST_TO_WHITE) & shows


def candidates() -> np.ndarray:
    """Legible colours of a cube of thirteen steps, `n 3`."""
    steps = np.linspace(0, 255, 13).round().astype(int)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    return cube[legible(cube)]


def names_to_colour() -> list[str]:
    """All organs of the shipped tables, what is wished for, and the findings with a colour of their own."""
    tables = itertools.chain(*(load_table(table).values() for table in SHIPPED), NAMES.values(), WISHED)
    return [*(name for name in dict.fromkeys(tables) if not is_lesion(name)), "body", *OWN_COLOUR]


def choose(seed: int = 5, num_steps: int = 1_000_000) -> dict[str, tuple[int, int, int]]:
    """The palette: anneal, then descend until no single change of colour helps."""
    free = names_to_colour()
    fixed = [name for name in dict.fromkeys(itertools.chain(*finding_pairs())) if name not in free]
    offered = candidates()
    colours = np.concatenate([offered, [colour_of(name) for name in fixed]])
    cost = _costs(colours)
    allowed = [_allowed(name, offered) for name in free]
    near = _nearness(free, fixed)
    rng = np.random.default_rng(seed)
    taken = np.array([int(rng.choice(choice)) for choice in allowed] + list(range(len(offered), len(colours))))
    # One flat gather for all kinds of pairs: it is most of the run time.
    flat, width = cost.ravel(), len(colours)
    others = [np.concatenate(groups) for groups in near]
    starts = [np.repeat(np.arange(len(cost)) * width**2, [len(group) for group in groups]) for groups in near]
    for temperature in np.geomspace(300.0, 0.05, num_steps):
        one = int(rng.integers(len(free)))
        new = int(allowed[one][rng.integers(len(allowed[one]))])
        columns = starts[one] + taken[others[one]]
        gain = float((flat[columns + taken[one] * width] - flat[columns + new * width]).sum())
        if gain > 0 or rng.random() < np.exp(gain / temperature):
            taken[one] = new
    _descend(cost, near, taken, allowed)
    return {name: tuple(colours[i].tolist()) for name, i in zip(free, taken[: len(free)], strict=True)}


def _allowed(name: str, offered: np.ndarray) -> np.ndarray:
    if name in OWN_COLOUR:
        return np.flatnonzero((np.ptp(offered, axis=1) >= 125) & (offered.max(axis=1) >= 125))
    if name not in WISHED:
        return np.arange(len(offered))
    away = between(offered, np.array(WISHED[name]), "normal")[:, 0]
    chroma, wished = (np.hypot(*seen_by(rgb, "normal")[:, 1:].T) for rgb in (offered, np.array(WISHED[name])))
    return np.flatnonzero((away <= RADII.get(name, RADIUS)) & (chroma >= min(LEAST_CHROMA, wished[0])))


def filled(rgb: np.ndarray) -> np.ndarray:
    """The colour of a fill over mid grey, as the pictures draw it."""
    return FILL_OPACITY * np.asarray(rgb, float) + (1 - FILL_OPACITY) * MID_GREY


def _costs(colours: np.ndarray) -> np.ndarray:
    """What a pair of colours costs when it touches, is read together, has a common neighbour, and otherwise: `4 n n`."""
    distances = np.array([between(colours, colours, eyes) for eyes in EYES])
    touching = WEIGHTS[0] * np.exp((TARGETS[0] - distances) / SOFTNESS).sum(axis=0)
    common = WEIGHTS[1] * np.exp((TARGETS[1] - distances.min(axis=0)) / 2)
    fills = sum(np.exp((FILL_TARGET - between(filled(colours), filled(colours), eyes)) / FILL_SOFTNESS) for eyes in EYES)
    together = TOGETHER_WEIGHT * touching + FILL_WEIGHT * fills
    return np.stack([touching, together, common, WEIGHTS[2] * np.exp(TARGETS[2] - distances[0])]).astype(np.float32)


def _nearness(free: list[str], fixed: list[str]) -> list[tuple[np.ndarray, ...]]:
    """For each free name the indices of the names that touch it, are read with it, share a neighbour with it, and of all others."""
    index = {name: i for i, name in enumerate([*free, *fixed])}
    touch, together = np.zeros((2, len(index), len(index)), bool)
    for table, pairs in ((touch, [*touching_pairs(), *finding_pairs()]), (together, read_together())):
        for first, second in pairs:
            table[index[first], index[second]] = table[index[second], index[first]] = True
    near = touch | together
    common = (near.astype(int) @ near > 0) & ~near & ~np.eye(len(near), dtype=bool)
    rest = ~near & ~np.eye(len(near), dtype=bool)
    return [tuple(np.flatnonzero(kind[i]) for kind in (touch & ~together, together, common, rest)) for i in range(len(free))]


def _descend(cost: np.ndarray, near: list[tuple[np.ndarray, ...]], taken: np.ndarray, allowed: list[np.ndarray]) -> None:
    changed = True
    while changed:
        changed = False
        for one, (choice, others) in enumerate(zip(allowed, near, strict=True)):
            total = sum(table[np.ix_(choice, taken[group])].sum(axis=1) for table, group in zip(cost, others, strict=True))
            best = int(choice[int(np.argmin(total))])
            if best != taken[one] and total.min() < total[list(choice).index(taken[one])] - 1e-9:
                taken[one], changed = best, True


def figures(pairs: list[tuple[str, str]], *, fills: bool = False) -> dict[str, np.ndarray]:
    """CIEDE2000 of each pair in the palette as it is, for each kind of eyes; as contours or as fills over mid grey."""
    first, second = (np.array([colour_of(pair[side]) for pair in pairs]) for side in (0, 1))
    drawn = (filled(first), filled(second)) if fills else (first, second)
    return {eyes: deltaE_ciede2000(*(seen_by(rgb, eyes) for rgb in drawn)) for eyes in EYES}


def report() -> None:
    """Least, 5th percentile and pairs under 10, with the worst pair by name."""
    total = set(load_table("totalseg").values())
    organs = [pair for pair in touching_pairs() if set(pair) <= total]
    everything = list(itertools.combinations(sorted(total), 2))
    for title, pairs, fills in (
        ("117 classes, touching", organs, False),
        ("findings", finding_pairs(), False),
        ("read together", read_together(), False),
        ("read together, fills", read_together(), True),
        ("117 classes, all pairs", everything, False),
    ):
        for eyes, away in figures(pairs, fills=fills).items():
            worst, low = " beside ".join(pairs[int(away.argmin())]), (away < (FILL_TARGET if fills else 10)).sum()
            spread = f"least {away.min():.1f} ({worst}), 5% {np.percentile(away, 5):.1f}, under {FILL_TARGET if fills else 10:g}: {low}"
            print(f"{title}: {eyes}: {len(pairs)} pairs, {spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", action="store_true", help="print the figures of the palette as it is, choose nothing")
    if not parser.parse_args().figures:
        path = Path(__file__).parents[1] / "experts3d" / "tables" / "palette.csv"
        rows = [(name, *colour) for name, colour in choose().items()]
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("name", "red", "green", "blue"), *rows])
        print(f"{len(rows)} colours in {path}")
        colour_of.__globals__["_table"].cache_clear()
    report()


if __name__ == "__main__":
    main()
