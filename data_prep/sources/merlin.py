"""Merlin's abdominal CT: 25,494 scans with findings (Blankemeier et al. 2024; data use agreement of Stanford AIMI).

merlin_data/<study>.nii.gz, reports_final.xlsx (study id, Findings, Split), zero_shot_findings_disease_cls.csv (study_id, findings 1/0/-1)
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.item import Item, Source, safe_key
from data_prep.tables import by_column, read_csv, read_xlsx
from data_prep.text.sections import clean, split_sections

_STUDY_COLUMNS = ("study id", "study_id", "Study ID", "AccessionNumber")
_NOT_MENTIONED = -1


def list_items(root: Path) -> Iterator[Item]:
    """Scans in the order of their names."""
    book = root / "reports_final.xlsx"
    rows = read_xlsx(book) if book.is_file() else []
    column = next((name for name in _STUDY_COLUMNS if rows and name in rows[0]), _STUDY_COLUMNS[0])
    reports = by_column(rows, column) if rows and column in rows[0] else {}
    file = root / "zero_shot_findings_disease_cls.csv"
    labels = by_column(read_csv(file, key="study_id"), "study_id") if file.is_file() else {}
    for path in sorted((root / "merlin_data").rglob("*.nii.gz")):
        study = path.name.removesuffix(".nii.gz")
        report = reports.get(study)
        sections = split_sections(report.get("Findings", report.get("findings", ""))) if report else None
        yield Item(
            key=safe_key(study),
            study=study,
            patient=(report or {}).get("patient_id", "") or study,
            path=path.relative_to(root).as_posix(),
            modality="CT",
            findings=clean(sections.findings) if sections else "",
            impression=clean(sections.impression) if sections else "",
            labels=_labels(labels.get(study, {})),
            split={"val": "valid"}.get((report or {}).get("Split", "").lower(), (report or {}).get("Split", "").lower()),
            problem=None if report else ("missing_report_row", "no row in the workbook of reports"),
        )


def _labels(row: dict[str, str]) -> dict[str, int]:
    """-1 means that the report does not mention the finding: that is no label."""
    values = {name: int(float(value)) for name, value in row.items() if name != "study_id" and value}
    return {name: value for name, value in values.items() if value != _NOT_MENTIONED}


SOURCE = Source(
    name="merlin",
    title="Merlin abdominal CT",
    licence="Stanford AIMI research use agreement, non-commercial",
    citation="Blankemeier et al., Merlin: a vision language foundation model for 3D computed tomography, 2024, arXiv:2406.06512",
    expected={"series": 25494, "patients": 18317},
    list_items=list_items,
)
