"""Choose a colour for every structure name; writes experts3d/tables/palette.csv and prints how far apart touching structures are.

    python -m benchmarks.make_palette            # choose (a minute), write, print
    python -m benchmarks.make_palette --figures  # print the figures of the palette as it is

Simulated annealing from a fixed seed spends the distances (CIEDE2000) on pairs that touch, for normal, deuteranopic and protanopic eyes
alike; pairs with a common neighbour and all other pairs count less. Common structures stay near the colour wished for them.
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
from experts3d.threshold_ct import NAMES

# Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, full severity: linear RGB as seen without green or without red cones.
EYES = {
    "normal": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}
# After Okabe and Ito (jfly.uni-koeln.de/color, 2008) and the habits of atlases: red arteries, blue veins and air, yellow fat, pale bone.
WISHED = {
    "liver": (213, 94, 0), "spleen": (204, 121, 167), "kidney_left": (0, 158, 115), "kidney_right": (0, 158, 115), "pancreas": (240, 228, 66),
    "gallbladder": (120, 200, 60), "urinary_bladder": (230, 200, 120), "aorta": (200, 30, 45), "heart": (205, 100, 120),
    "inferior_vena_cava": (40, 70, 200), "lung": (86, 180, 233), "lungs": (86, 180, 233), "lung_left": (86, 180, 233), "lung_right": (60, 130, 190),
    "airway": (0, 114, 178), "trachea": (0, 114, 178), "lung_aerated": (120, 200, 240), "bone": (235, 225, 190), "fat": (225, 190, 90),
    "soft_tissue": (190, 110, 100), "brain": (230, 159, 0),
}  # fmt: skip
WISH_RADIUS = 26.0
# Findings that need a colour apart from their kind's own; the kinds' colours are fixed in experts3d/palette.py.
OWN_COLOUR = ("kidney_tumour_right", "kidney_cyst_right", "pleural_effusion_right", "pericardial_effusion", "lung_ground_glass_nodule")
# A contour is drawn over any grey: least CIEDE2000 to black, to white and to every grey between.
LEAST_TO_BLACK, LEAST_TO_WHITE, LEAST_TO_GREY = 25.0, 12.0, 7.0
# CIEDE2000 that a pair is worth striving for, and what a miss weighs: touching, with a common neighbour, any.
TARGETS, WEIGHTS = (16.0, 8.0, 5.0), (1.0, 0.05, 3.0)
SOFTNESS = 1.5


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
    least = np.min([between(rgb, greys, eyes) for eyes in EYES], axis=0)
    return (least[:, 0] >= LEAST_TO_BLACK) & (least[:, -1] >= LEAST_TO_WHITE) & (least.min(axis=1) >= LEAST_TO_GREY)


def candidates() -> np.ndarray:
    """Legible colours of a cube of eleven steps, `n 3`."""
    steps = np.linspace(0, 255, 11).round().astype(int)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    return cube[legible(cube)]


def names_to_colour() -> list[str]:
    """All organs of the shipped tables, what is wished for, and the findings with a colour of their own."""
    tables = itertools.chain(*(load_table(table).values() for table in SHIPPED), NAMES.values(), WISHED)
    return [*(name for name in dict.fromkeys(tables) if not is_lesion(name)), "body", *OWN_COLOUR]


def choose(seed: int = 4, num_steps: int = 1_000_000) -> dict[str, tuple[int, int, int]]:
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
    for temperature in np.geomspace(300.0, 0.05, num_steps):
        one = int(rng.integers(len(free)))
        new = int(rng.choice(allowed[one]))
        gain = _cost_of(cost, near[one], taken, taken[one]) - _cost_of(cost, near[one], taken, new)
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
    return np.flatnonzero(away <= max(WISH_RADIUS, away.min() + 3))


def _costs(colours: np.ndarray) -> np.ndarray:
    """What a pair of colours costs when it touches, when it has a common neighbour, and otherwise: `3 n n`."""
    distances = np.array([between(colours, colours, eyes) for eyes in EYES])
    touching = np.exp((TARGETS[0] - distances) / SOFTNESS).sum(axis=0)
    common = np.exp((TARGETS[1] - distances.min(axis=0)) / 2)
    return np.stack([WEIGHTS[0] * touching, WEIGHTS[1] * common, WEIGHTS[2] * np.exp(TARGETS[2] - distances[0])]).astype(np.float32)


def _nearness(free: list[str], fixed: list[str]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each free name the indices of the names that touch it, of those that share a neighbour with it, and of all that do not touch it."""
    index = {name: i for i, name in enumerate([*free, *fixed])}
    touch = np.zeros((len(index), len(index)), bool)
    for first, second in [*touching_pairs(), *finding_pairs(), *read_together()]:
        touch[index[first], index[second]] = touch[index[second], index[first]] = True
    common = (touch.astype(int) @ touch > 0) & ~touch & ~np.eye(len(touch), dtype=bool)
    rest = ~touch & ~np.eye(len(touch), dtype=bool)
    return [tuple(np.flatnonzero(kind[i]) for kind in (touch, common, rest)) for i in range(len(free))]


def _cost_of(cost: np.ndarray, near: tuple[np.ndarray, ...], taken: np.ndarray, colour: int) -> float:
    return float(sum(table[colour, taken[others]].sum() for table, others in zip(cost, near, strict=True)))


def _descend(cost: np.ndarray, near: list[tuple[np.ndarray, ...]], taken: np.ndarray, allowed: list[np.ndarray]) -> None:
    changed = True
    while changed:
        changed = False
        for one, (choice, others) in enumerate(zip(allowed, near, strict=True)):
            total = sum(table[np.ix_(choice, taken[group])].sum(axis=1) for table, group in zip(cost, others, strict=True))
            best = int(choice[int(np.argmin(total))])
            if best != taken[one] and total.min() < total[list(choice).index(taken[one])] - 1e-9:
                taken[one], changed = best, True


def figures(pairs: list[tuple[str, str]]) -> dict[str, np.ndarray]:
    """CIEDE2000 of each pair in the palette as it is, for each kind of eyes."""
    first, second = (np.array([colour_of(pair[side]) for pair in pairs]) for side in (0, 1))
    return {eyes: deltaE_ciede2000(seen_by(first, eyes), seen_by(second, eyes)) for eyes in EYES}


def report() -> None:
    """Least, 5th percentile and pairs under 10, with the worst pair by name."""
    total = set(load_table("totalseg").values())
    organs = [pair for pair in touching_pairs() if set(pair) <= total]
    everything = list(itertools.combinations(sorted(total), 2))
    for title, pairs in (
        ("117 classes, touching", organs),
        ("findings", finding_pairs()),
        ("read together", read_together()),
        ("117 classes, all pairs", everything),
    ):
        for eyes, away in figures(pairs).items():
            worst = " beside ".join(pairs[int(away.argmin())])
            print(
                f"{title}: {eyes}: {len(pairs)} pairs, least {away.min():.1f} ({worst}), 5% {np.percentile(away, 5):.1f}, under 10: {(away < 10).sum()}"
            )


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
