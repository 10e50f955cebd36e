"""Choose a colour for every structure name: far from all others for normal and for deuteranopic eyes. Writes experts3d/tables/palette.csv.

    python benchmarks/make_palette.py

Common structures keep the colours that experts3d/palette.py fixes; the right partner of a pair is a darker shade of the left one.
"""

import csv
import re
from pathlib import Path

import numpy as np
from skimage.color import rgb2lab

from experts3d.label_table import load_table
from experts3d.palette import CHOSEN, LESIONS, RIGHT_SHADE
from experts3d.threshold_ct import NAMES

# Machado et al., IEEE TVCG 2009: linear RGB as seen without the green cones.
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
# Normal vision counts fully, the simulated one half: with over a hundred classes nobody can have all of both.
WEIGHT = 0.5


def perceived(rgb: np.ndarray) -> np.ndarray:
    """Lab of colours as normal and as deuteranopic eyes see them, `n 6`."""
    unit = np.asarray(rgb, float).reshape(-1, 3) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ DEUTERANOPIA.T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.concatenate([rgb2lab(unit), WEIGHT * rgb2lab(seen)], axis=1)


def main() -> None:
    names = dict.fromkeys([*load_table("totalseg").values(), *load_table("totalseg_mr").values(), *NAMES.values()])
    steps = np.arange(25, 256, 23)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    candidates = candidates[candidates.max(axis=1) > 90]
    light, dark = perceived(candidates), perceived(candidates * RIGHT_SHADE)
    taken = perceived(np.array([*CHOSEN.values(), *(c for _, c in LESIONS)] + [tuple(RIGHT_SHADE * v for v in c) for c in CHOSEN.values()]))
    rows = []
    for name in names:
        base = re.sub(r"_(left|right)(?=_\d+$|$)", "", name)
        if base in CHOSEN or any(base == row[0] for row in rows) or any(word in name for word, _ in LESIONS):
            continue
        nearest = np.linalg.norm(light[:, None] - taken[None], axis=-1).min(axis=1)
        if base != name:
            nearest = np.minimum(nearest, np.linalg.norm(dark[:, None] - taken[None], axis=-1).min(axis=1))
            nearest = np.minimum(nearest, np.linalg.norm(light - dark, axis=-1))
        best = int(nearest.argmax())
        rows.append((base, *candidates[best].tolist()))
        taken = np.concatenate([taken, light[best : best + 1], dark[best : best + 1]] if base != name else [taken, light[best : best + 1]])
    path = Path(__file__).parents[1] / "experts3d" / "tables" / "palette.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("name", "red", "green", "blue"), *rows])
    print(f"{len(rows)} colours in {path}")


if __name__ == "__main__":
    main()
