"""Tables of labels or probabilities by scan: CSV with an id column, or a VLM3D submission."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.readers import read_vlm3d_labels
from vol3d.evaluation.report_files import study_id

_IDS = ("VolumeName", "AccessionNo", "NoteAcc_DEID", "id", "study", "scan", "image_id")


@dataclass(frozen=True)
class LabelTable:
    """Values `n l` by scan and label."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray

    def select(self, names: Sequence[str]) -> "LabelTable":
        """The same scans with these labels, in this order."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ConfigError("labels are missing", expected=", ".join(names), found=f"without {', '.join(missing)}")
        return LabelTable(self.ids, tuple(names), self.values[:, [self.names.index(name) for name in names]])

    def aligned(self, other: "LabelTable") -> np.ndarray:
        """My values for another table's scans and labels; every scan must be here, for a missing prediction is no 0."""
        rows = {name: i for i, name in enumerate(self.ids)}
        missing = [name for name in other.ids if name not in rows]
        if missing:
            raise ConfigError(f"{len(missing)} scans have no prediction", expected=f"{len(other.ids)} scans", found=f"without {missing[0]}")
        return self.select(other.names).values[[rows[name] for name in other.ids]]


def read_label_table(path: str | Path) -> LabelTable:
    """Read a table.

    Errors: ConfigError names the column or cell that is not a number in 0..1.
    """
    if Path(path).suffix.lower() == ".json":
        scans = read_vlm3d_labels(path)
        names = tuple(next(iter(scans.values())))
        return LabelTable(tuple(scans), names, np.array([[labels.get(n, 0.0) for n in names] for labels in scans.values()]))
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    key = next((k for k in _IDS if rows and k in rows[0]), None)
    if key is None:
        raise ConfigError("no column of ids", path=path, expected=f"one of {', '.join(_IDS)}", found=", ".join(rows[0]) if rows else "no rows")
    names = tuple(k for k in rows[0] if k != key and k and _is_number(rows[0][k]))
    if not names:
        raise ConfigError("no column of numbers", path=path, expected="one column per label")
    try:
        values = np.array([[float(r[n]) for n in names] for r in rows])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a label is not a number: {error}", path=path) from error
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ConfigError("labels and probabilities lie in 0..1", path=path, found=f"{values.min()} to {values.max()}")
    return LabelTable(tuple(study_id(r[key]) for r in rows), names, values)


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
