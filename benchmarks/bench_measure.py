"""All 117 classes of a 512 x 512 x 300 label map: `experts3d.measure` against a loop of scikit-image's regionprops in the same run
(without diameters, which regionprops does not measure in slices).

    python benchmarks/bench_measure.py [--classes-for-regionprops 6]

The loop is timed on some of the classes, spread over the list, and scaled up: all of them would take many minutes. Volumes must be equal.
"""

import argparse
import time

import numpy as np
from skimage.measure import label, regionprops

from experts3d.label_table import load_table
from experts3d.measure import measure
from vol3d.contracts import LabelMap
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume

SHAPE, SPACING = (300, 512, 512), (1.0, 0.8, 0.8)


def scene() -> tuple[Volume, LabelMap]:
    """117 ellipsoids of 3 to 9 cm on a lattice, some touching, over noise."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint8)
    grids = [np.linspace(0.1, 0.9, n) for n in (4, 6, 5)]
    centres = [(z, y, x) for z in grids[0] for y in grids[1] for x in grids[2]][:117]
    for number, centre in enumerate(centres, start=1):
        middle = np.array(centre) * SHAPE
        radii = rng.uniform(15, 45, 3) / SPACING
        low = np.maximum(0, np.floor(middle - radii)).astype(int)
        high = np.minimum(SHAPE, np.ceil(middle + radii) + 1).astype(int)
        axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        inside = sum(((axis - m) / r) ** 2 for axis, m, r in zip(axes, middle, radii, strict=True)) <= 1
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside] = number
    noise = rng.normal(40, 25, SHAPE[1:]).astype(np.int16)
    image = np.stack([np.roll(noise, 7 * z) for z in range(SHAPE[0])])
    affine = make_affine(SPACING)
    return Volume(image, affine, "CT", "HU", "scene"), LabelMap(labels, affine, load_table("totalseg"), "scene", "bench", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes-for-regionprops", type=int, default=6)
    count = parser.parse_args().classes_for_regionprops
    volume, labels = scene()
    start, cpu = time.perf_counter(), time.process_time()
    measured = measure(volume, labels)
    ours, ours_cpu = time.perf_counter() - start, time.process_time() - cpu
    volumes = {m.structure: m.value for m in measured if m.name == "volume" and m.component is None}
    chosen = np.linspace(1, 117, count).astype(int)
    start = time.perf_counter()
    for number in chosen:
        mask = labels.array == number
        parts = label(mask, connectivity=3)
        props = regionprops(mask.astype(np.uint8), intensity_image=volume.array, spacing=SPACING)[0]
        _ = (props.intensity_mean, props.centroid, props.bbox, parts.max())
        if not np.isclose(props.area / 1000, volumes[labels.names[int(number)]], rtol=1e-9):
            raise SystemExit(f"volumes differ for {labels.names[int(number)]}")
    loop = (time.perf_counter() - start) / count * 117
    print(f"experts3d.measure: {ours:.1f} s ({ours_cpu:.1f} s of CPU) for 117 classes ({len(measured)} measurements)")
    print(f"regionprops loop:  {loop:.0f} s, scaled up from {count} classes; volumes equal; {loop / ours:.0f} times as long")


if __name__ == "__main__":
    main()
