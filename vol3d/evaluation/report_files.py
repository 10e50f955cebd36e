"""Reports and labels from the files in which they come: CSV with any usual column names, JSON, JSON lines, VLM3D submissions."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from vol3d.errors import ConfigError
from vol3d.evaluation.results import read_records

_IDS = ("VolumeName", "AccessionNo", "id", "study", "series", "scan", "image_id", "input_image_name", "image")
_TEXTS = ("report_text", "report", "prediction", "text", "generated_report", "output", "hypothesis", "reference")
_SECTIONS = (("Findings_EN", "Impressions_EN"), ("findings", "impression"))
_NOT_GIVEN = {"", "not given", "not given.", "nan", "none"}
csv.field_size_limit(16 * 1024 * 1024)


@dataclass(frozen=True)
class ReportTable:
    """Reports by id, in file order, and the labels that came with them (None: none did)."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    label_names: tuple[str, ...] = ()
    labels: np.ndarray | None = None

    def by_id(self) -> Mapping[str, str]:
        """Id -> text."""
        return dict(zip(self.ids, self.texts, strict=True))

    def labels_as(self, names: Sequence[str]) -> Integer[np.ndarray, "reports names"] | None:
        """The label columns of these names, in this order; None unless all are there.

        >>> ReportTable(("a",), ("",), ("Mass", "Nodule"), np.array([[0, 1]])).labels_as(["Nodule", "Mass"]).tolist()
        [[1, 0]]
        """
        if self.labels is None or not set(names) <= set(self.label_names):
            return None
        return self.labels[:, [self.label_names.index(name) for name in names]]


def study_id(name: str) -> str:
    """A scan's name without file endings.

    >>> study_id("valid_1_a_1.nii.gz"), study_id("valid_1_a_1.npz")
    ('valid_1_a_1', 'valid_1_a_1')
    """
    for ending in (".gz", ".nii", ".npz", ".npy", ".mha", ".json"):
        name = name.removesuffix(ending)
    return name


def read_reports(path: str | Path) -> ReportTable:
    """Read reports; labels are all columns of a CSV that hold nothing but 0 and 1.

    Errors: ConfigError names the columns that were found, a repeated id, or that there is no report.
    """
    records = _csv_records(Path(path)) if Path(path).suffix.lower() == ".csv" else _json_records(Path(path))
    keys = set(records[0])
    id_key = next((key for key in _IDS if key in keys), None)
    if id_key is None:
        raise ConfigError("no column of ids", path=path, expected=f"one of {', '.join(_IDS)}", found=", ".join(sorted(keys)[:12]))
    text_key = next((key for key in _TEXTS if key in keys), None)
    sections = next((pair for pair in _SECTIONS if pair[0] in keys), None)
    if text_key is None and sections is None:
        expected = f"one of {', '.join(_TEXTS)}, or {' and '.join(_SECTIONS[0])}"
        raise ConfigError("no column of report text", path=path, expected=expected, found=", ".join(sorted(keys)[:12]))
    ids = tuple(study_id(str(r[id_key])) for r in records)
    if len(set(ids)) < len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise ConfigError("an id occurs twice", path=path, found=twice, hint="Keep one report per scan.")
    texts = tuple(
        _given(str(r[text_key])) if text_key else " ".join(filter(None, (_given(str(r.get(s) or "")) for s in sections or ()))) for r in records
    )
    names = _label_columns(records, {id_key, text_key, *(sections or ())})
    labels = np.array([[int(float(r[name])) for name in names] for r in records], dtype=np.int64) if names else None
    return ReportTable(ids, texts, names, labels)


def _given(text: str) -> str:
    return "" if text.strip().lower() in _NOT_GIVEN else text


def _label_columns(records: Sequence[Mapping[str, Any]], taken: set[str | None]) -> tuple[str, ...]:
    return tuple(key for key in records[0] if key and key not in taken and all(str(r.get(key)).strip() in {"0", "1", "0.0", "1.0"} for r in records))


def _csv_records(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            records = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"not a readable CSV file: {error}", path=path, expected="UTF-8 CSV with a header") from error
    if not records:
        raise ConfigError("no rows", path=path, expected="a CSV with a header and at least one report")
    return records


def _json_records(path: Path) -> list[dict[str, Any]]:
    """VLM3D submissions (`[0].outputs[0].value.generated_reports`), `{id: text}` maps, lists of records, JSON lines."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return read_records(path)
    inner = submission_value(document)
    if isinstance(inner, dict) and isinstance(inner.get("generated_reports"), list):
        return list(inner["generated_reports"])
    if isinstance(document, dict) and document and all(isinstance(v, str) for v in document.values()):
        return [{"id": key, "report": text} for key, text in document.items()]
    return read_records(path)


def submission_value(document: object) -> object:
    """What a grand-challenge submission wraps; the document itself where nothing is wrapped."""
    if isinstance(document, list) and document and isinstance(document[0], dict) and "outputs" in document[0]:
        return document[0]["outputs"][0]["value"]
    return document


@dataclass(frozen=True)
class PairedReports:
    """References and hypotheses of the same scans; a scan without hypothesis has an empty one."""

    ids: tuple[str, ...]
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]
    missing: int
    unknown: int


def pair(references: ReportTable, hypotheses: ReportTable) -> PairedReports:
    """Join by id. A missing hypothesis is an empty report, not a smaller test set.

    Errors: ConfigError where no id is in both.
    """
    written = hypotheses.by_id()
    known = set(references.ids)
    if not known & set(written):
        raise ConfigError("references and hypotheses share no scan", expected=f"ids such as {references.ids[0]}", found=hypotheses.ids[0])
    texts = tuple(written.get(name, "") for name in references.ids)
    missing = sum(name not in written for name in references.ids)
    return PairedReports(references.ids, references.texts, texts, missing, len(set(written) - known))
