"""A plain folder of scans (NIfTI, NRRD, MHA) with one CSV beside them.

The CSV needs a column `path` (or `file`, `image`); all others are optional: `study patient findings impression technique report
modality split mask mask_names` (JSON: `{"1": "liver"}`), and any column that starts with `label:` or that names one of the 18 CT-RATE labels (0 or 1).
"""

import json
from collections.abc import Iterator
from pathlib import Path

from data_prep.item import Item, MaskFile, Source, safe_key
from data_prep.tables import read_csv
from data_prep.text.labels18 import LABELS18
from data_prep.text.sections import clean, split_sections
from vol3d.errors import ConfigError

_PATH_COLUMNS = ("path", "file", "image", "filename")
_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


def list_items(root: Path) -> Iterator[Item]:
    """Rows of the CSV in their order; scans that no row names come last, as problems."""
    tables = sorted(root.glob("*.csv"))
    if len(tables) != 1:
        raise ConfigError("the folder needs exactly one CSV at its top", found=f"{len(tables)} in {root}")
    rows = read_csv(tables[0])
    column = next((name for name in _PATH_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        raise ConfigError(
            "the CSV needs a column that names the files", expected=" or ".join(_PATH_COLUMNS), found=", ".join(rows[0]) if rows else "no rows"
        )
    used = set()
    for row in rows:
        used |= {row[column], row.get("mask", "")}
        yield _item(row, row[column], root)
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.endswith(_SUFFIXES) and name not in used:
            key = safe_key(name.replace("/", "_"))
            yield Item(key=key, study=key, patient=key, path=name, problem=("missing_row", "no row in the CSV names this file"))


def _item(row: dict[str, str], path: str, root: Path) -> Item:
    key = safe_key(path.replace("/", "_"))
    free = split_sections(row.get("report", ""))
    escapes = not (root / path).resolve().is_relative_to(root.resolve())
    return Item(
        key=key,
        study=row.get("study") or key,
        patient=row.get("patient") or row.get("study") or key,
        path=path,
        modality=row.get("modality") or None,
        findings=clean(row.get("findings")) or free.findings,
        impression=clean(row.get("impression")) or free.impression,
        technique=clean(row.get("technique")) or free.technique,
        labels={_label(name): int(float(value)) for name, value in row.items() if value and (name in LABELS18 or name.startswith("label:"))},
        split=row.get("split", ""),
        masks=(MaskFile(row["mask"], _names(row.get("mask_names", ""), path)),) if row.get("mask") else (),
        problem=("outside_root", "the path leaves the corpus' folder") if escapes else None,
    )


def _names(text: str, path: str) -> dict[int, str]:
    try:
        return {int(i): str(name) for i, name in json.loads(text or "{}").items()}
    except (ValueError, AttributeError) as error:
        raise ConfigError("mask_names is not a JSON object of label names", expected='{"1": "liver"}', found=f"{text[:60]} for {path}") from error


def _label(column: str) -> str:
    return column.removeprefix("label:").strip()


SOURCE = Source(
    name="nifti_csv",
    title="a folder of scans with a CSV",
    licence="yours",
    citation="",
    expected={},
    list_items=list_items,
)
