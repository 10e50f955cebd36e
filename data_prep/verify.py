"""Whether a store still is what was written: every row's voxels are read back, hashed and compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_prep import splits
from data_prep.cluster import run_all
from data_prep.convert import content_hash
from vol3d.contracts import Row
from vol3d.errors import Vol3dError
from vol3d.volume.geometry import same_grid
from vol3d.volume.judge import ACCEPTABLE
from vol3d.volume.manifest import mask_key, read_manifest
from vol3d.volume.read import read_mask, read_volume


@dataclass(frozen=True)
class Problem:
    """One series that is not what the manifest says."""

    key: str
    problem: str


def verify(store: str | Path, *, workers: int = 0, cluster: str | None = None) -> list[Problem]:
    """All problems of a store; an empty list means that every voxel is as it was written."""
    store = Path(store).resolve()
    rows = read_manifest(store)
    problems = [p for found in run_all(partial(verify_row, store), rows, workers=workers, cluster=cluster) for p in found]
    return sorted([*problems, *_around(store, rows)], key=lambda p: (p.key, p.problem))


def verify_row(store: Path, row: Row) -> list[Problem]:
    """Problems of one series."""
    try:
        # What was accepted when it was prepared is not doubted again.
        volume = read_volume(store / row.path, modality=row.modality, accept=tuple(ACCEPTABLE))
        found = content_hash(volume)
    except (Vol3dError, OSError) as error:
        return [Problem(row.series, str(error))]
    out = []
    if found != row.sha256:
        out.append(Problem(row.series, f"its voxels changed (expected {row.sha256[:12]}, found {found[:12]})"))
    if volume.spacing_mm != tuple(row.spacing_mm) or volume.shape != tuple(row.shape):
        out.append(Problem(row.series, f"its grid is not the manifest's: {volume.shape} at {volume.spacing_mm} mm"))
    mask = store / mask_key(row)
    if mask.exists():
        try:
            labels = read_mask(mask, accept=tuple(ACCEPTABLE))
            if not same_grid(volume.shape, volume.affine, labels.shape, labels.affine):
                out.append(Problem(row.series, "its masks lie on another grid"))
        except (Vol3dError, OSError) as error:
            out.append(Problem(row.series, str(error)))
    return out


def _around(store: Path, rows: tuple[Row, ...]) -> Iterator[Problem]:
    known = {row.path for row in rows}
    for entry in sorted((store / "volumes").glob("*.zarr")):
        if f"volumes/{entry.name}" not in known:
            yield Problem(entry.name.removesuffix(".zarr"), "stands in the store but not in the manifest")
    for patient in splits.check_leakage(rows):
        yield Problem(patient, "this patient stands in more than one split")
    try:
        frozen = splits.load_frozen(store / "splits.json")
    except (Vol3dError, OSError) as error:
        yield Problem("splits", str(error))
        return
    for row in rows:
        if frozen.get(row.patient) != row.split:
            yield Problem(row.series, f"its split is {row.split}, frozen as {frozen.get(row.patient)}")
