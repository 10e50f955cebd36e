"""RAD-ChestCT: 3,630 public chest CTs with 84 abnormalities at 52 locations (Draelos et al. 2021, Zenodo 6406114).

    trn00001.npz ... (array `ct`, HU, slices first), img{train,valid,test}_Abnormality_and_Location_Labels.csv (index NoteAcc_DEID)

The arrays carry no geometry. The paper resamples to 0.8 mm; slices are taken to run to inferior, rows to posterior, columns to left.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.item import Item, Loaded, Source
from data_prep.tables import by_column, read_csv
from vol3d.errors import VolumeError
from vol3d.volume.volume import Volume

_SPACING_MM = 0.8
_SPLITS = {"trn": "train", "val": "valid", "tst": "test"}
_TABLES = {"trn": "imgtrain", "val": "imgvalid", "tst": "imgtest"}
# Our own merge into CT-RATE's names; the one behind published numbers was never released. `|` means any of them.
CT_RATE_FROM_RAD = {
    "Medical material": "catheter_or_port|pacemaker_or_defib|stent|suture|clip|hardware|staple|sternotomy|gi_tube|tracheal_tube|chest_tube|breast_implant|heart_valve_replacement",
    "Arterial wall calcification": "calcification|atherosclerosis",
    "Cardiomegaly": "cardiomegaly",
    "Pericardial effusion": "pericardial_effusion",
    "Hiatal hernia": "hernia",
    "Lymphadenopathy": "lymphadenopathy",
    "Emphysema": "emphysema",
    "Atelectasis": "atelectasis",
    "Lung nodule": "nodule|nodulegr1cm",
    "Lung opacity": "opacity|groundglass",
    "Pulmonary fibrotic sequela": "fibrosis|scarring",
    "Pleural effusion": "pleural_effusion",
    "Peribronchial thickening": "bronchial_wall_thickening",
    "Consolidation": "consolidation",
    "Bronchiectasis": "bronchiectasis",
    "Interlobular septal thickening": "septal_thickening",
}


def list_items(root: Path) -> Iterator[Item]:
    """Scans in the order of their names."""
    tables = {}
    for prefix, name in _TABLES.items():
        file = root / f"{name}_Abnormality_and_Location_Labels.csv"
        tables[prefix] = by_column(read_csv(file, key="NoteAcc_DEID"), "NoteAcc_DEID") if file.is_file() else {}
    for path in sorted(root.rglob("*.npz")):
        prefix = path.stem[:3]
        row = tables.get(prefix, {}).get(path.stem)
        yield Item(
            key=path.stem,
            study=path.stem,
            patient=path.stem,
            path=path.relative_to(root).as_posix(),
            modality="CT",
            labels=merge_labels(row) if row else {},
            split=_SPLITS.get(prefix, ""),
            problem=None if row else ("missing_label_row", "no row in the table of labels"),
        )


def merge_labels(row: dict[str, str]) -> dict[str, int]:
    """`abnormality*location` columns -> the 16 labels that both corpora know."""
    present = {column.split("*")[0] for column, value in row.items() if column != "NoteAcc_DEID" and value and float(value) > 0}
    return {label: int(bool(present & set(words.split("|")))) for label, words in CT_RATE_FROM_RAD.items()}


def load(root: Path, item: Item) -> Loaded:
    """The array `ct` with the assumed grid."""
    try:
        with np.load(root / item.path, allow_pickle=False) as archive:
            array = archive["ct"]
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise VolumeError("not a RAD-ChestCT archive", path=item.path, expected="an array named ct", found=repr(error)) from error
    if array.ndim != 3 or not np.isfinite(array.astype(np.float32)).all():
        raise VolumeError("not a 3D array of numbers", path=item.path, found=f"shape {array.shape}")
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -_SPACING_MM, -_SPACING_MM, -_SPACING_MM, 1.0
    return Loaded(Volume(array, affine, "CT", "HU", item.path))


SOURCE = Source(
    name="rad_chestct",
    title="RAD-ChestCT",
    licence="CC-BY-NC-ND-4.0",
    citation="Draelos et al., Machine-learning-based multiple abnormality prediction with large-scale chest CT volumes, Medical Image Analysis 2021",
    expected={"series": 3630},
    list_items=list_items,
    load=load,
)
