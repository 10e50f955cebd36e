"""Dice, volume error and time of the built-in CT expert on phantoms with exact masks.

python benchmarks/bench_threshold_ct.py [--seeds 10]
"""

import argparse
import time

import numpy as np

from experts3d.threshold_ct import ThresholdCT
from vol3d.contracts import Status
from vol3d.volume.phantom import phantom_ct

STRUCTURES = ("body", "lungs", "lung_left", "lung_right", "airway", "bone", "fat", "soft_tissue")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    dice: dict[str, list[float]] = {name: [] for name in STRUCTURES}
    ratio: dict[str, list[float]] = {name: [] for name in STRUCTURES}
    seconds, sides_right = [], 0
    for seed in range(1000, 1000 + seeds):
        phantom = phantom_ct(seed, shape_zyx=(128, 160, 160), spacing_mm=(3.0, 2.5, 2.5))
        start = time.perf_counter()
        labels = ThresholdCT().segment(phantom.volume)
        seconds.append(time.perf_counter() - start)
        for name in STRUCTURES:
            truth, found = phantom.labels.mask(name), labels.mask(name)
            if truth.any() and labels.status(name) is Status.FOUND:
                dice[name].append(float(2 * (truth & found).sum() / (truth.sum() + found.sum())))
                ratio[name].append(float(found.sum() / truth.sum()))
        left, right = (np.argwhere(labels.mask(f"lung_{side}"))[:, 2].mean() for side in ("left", "right"))
        sides_right += bool(left < right)
    print(f"{'structure':<14}{'phantoms':>9}{'median Dice':>13}{'least Dice':>12}{'found/true volume':>19}")
    for name in STRUCTURES:
        values = dice[name]
        if values:
            print(f"{name:<14}{len(values):>9}{np.median(values):>13.3f}{min(values):>12.3f}{np.median(ratio[name]):>19.3f}")
    print(f"left and right lung on the right sides: {sides_right} of {seeds}")
    print(f"seconds for 128 x 160 x 160 voxels: median {np.median(seconds):.1f}")


if __name__ == "__main__":
    main()
