"""CT-RATE: 50,188 reconstructions of 25,692 chest CTs with reports and 18 labels (Hamamci et al. 2024).

    dataset/{train,valid}/P/P_a/P_a_1.nii.gz              v1: stored values, blank headers; slope, intercept, spacing in metadata/
    dataset/{train_fixed,valid_fixed}/P/P_a/P_a_1.nii.gz  v2: HU and geometry in the file; nothing is applied again
    metadata/{train,validation}_metadata.csv, radiology_text_reports/{train,validation}_reports.csv,
    multi_abnormality_labels/{train,valid}_predicted_labels.csv, metadata/no_chest_{train,valid}.txt, vqa/{train,valid}_vqa.json

v1 headers do not say the orientation: axes are taken as to left, posterior, superior (what the DICOM cosines in the metadata say);
the liver check of `data_prep.check` catches volumes for which that is wrong.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.item import Item, Source
from data_prep.tables import by_column, read_csv, read_json
from data_prep.text.labels18 import LABELS18
from data_prep.text.sections import clean
from vol3d.errors import VolumeError

_V1_ORIENTATION = "LPS"
_SPLITS = (("train", "train", "train"), ("valid", "valid", "validation"))


def list_items(root: Path) -> Iterator[Item]:
    """Volumes of both layouts, in the order of their names; where both hold a volume, v2 counts."""
    for split, short, long in _SPLITS:
        tables = _Tables(root, short, long)
        files = {p.name: p for folder in (split, f"{split}_fixed") for p in sorted((root / "dataset" / folder).rglob("*.nii.gz"))}
        for name in sorted(files):
            yield tables.item(name, files[name], split)


class _Tables:
    """The CSVs of one split; a missing file is a missing row for each volume."""

    def __init__(self, root: Path, short: str, long: str) -> None:
        self.root = root
        self.reports = self._rows(f"radiology_text_reports/{long}_reports.csv")
        self.labels = self._rows(f"multi_abnormality_labels/{short}_predicted_labels.csv")
        self.metadata = self._rows(f"metadata/{long}_metadata.csv")
        list_file = root / "metadata" / f"no_chest_{short}.txt"
        self.no_chest = set(list_file.read_text(encoding="utf-8").split()) if list_file.is_file() else set()

    def _rows(self, path: str) -> dict[str, dict[str, str]]:
        file = self.root / path
        return by_column(read_csv(file, key="VolumeName"), "VolumeName") if file.is_file() else {}

    def item(self, name: str, path: Path, split: str) -> Item:
        parts = name.removesuffix(".nii.gz").split("_")
        if len(parts) != 4:
            raise VolumeError("not a CT-RATE file name", path=path, expected="train_1_a_1.nii.gz", found=name)
        fixed = path.relative_to(self.root).parts[1].endswith("_fixed")
        report, labels, metadata = self.reports.get(name), self.labels.get(name), self.metadata.get(name)
        return Item(
            key="_".join(parts),
            study="_".join(parts[:3]),
            patient="_".join(parts[:2]),
            path=path.relative_to(self.root).as_posix(),
            modality="CT",
            findings=clean(report["Findings_EN"]) if report else "",
            impression=clean(report["Impressions_EN"]) if report else "",
            technique=clean(report["Technique_EN"]) if report else "",
            labels={label: int(float(labels[label])) for label in LABELS18} if labels else {},
            split=split,
            reading={} if fixed or not metadata else _v1_reading(metadata),
            problem=self._problem(name, fixed=fixed),
        )

    def _problem(self, name: str, *, fixed: bool) -> tuple[str, str] | None:
        if name in self.no_chest:
            return "not_chest", "listed among the scans that are no chest CT"
        if name not in self.reports:
            return "missing_report_row", "no row in the table of reports"
        if name not in self.labels:
            return "missing_label_row", "no row in the table of labels"
        if not fixed and name not in self.metadata:
            return "missing_metadata_row", "no row in the metadata, so slope, intercept and spacing are unknown"
        return None


def _v1_reading(row: dict[str, str]) -> dict[str, Any]:
    x, y = (float(v) for v in row["XYSpacing"].strip("[] ").split(","))
    return {
        "assume_orientation": _V1_ORIENTATION,
        "slope": float(row["RescaleSlope"]),
        "intercept": float(row["RescaleIntercept"]),
        "spacing_mm": (float(row["ZSpacing"]), y, x),
    }


def read_vqa(root: Path, split: str) -> Iterator[dict[str, Any]]:
    """Conversations of `vqa/{split}_vqa.json`: `{"id", "series", "conversations": [{"from", "value", ...}]}`; text-only ones have series None."""
    for record in read_json(root / "vqa" / f"{split}_vqa.json"):
        image = record.get("image")
        yield {"id": str(record["id"]), "series": image.removesuffix(".nii.gz") if image else None, "conversations": record["conversations"]}


SOURCE = Source(
    name="ct_rate",
    title="CT-RATE",
    licence="CC-BY-NC-SA-4.0",
    citation="Hamamci et al., Developing generalist foundation models from a multimodal dataset for 3D computed tomography, 2024, arXiv:2403.17834",
    expected={"series": 50188, "studies": 25692, "patients": 21304, "train": 47149, "valid": 3039},
    list_items=list_items,
)
