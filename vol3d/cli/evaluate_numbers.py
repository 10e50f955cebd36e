"""For `vol3d evaluate report --measurements`: the numbers of reports against what was measured on each scan."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vol3d.evaluation.number_check import Checked, Measured


def read_folder(folder: str, ids: Sequence[str]) -> "list[Measured | None]":
    """`FOLDER/ID.json` of each scan, None where there is none.

    Errors: ConfigError where no scan has one.
    """
    from vol3d.errors import ConfigError
    from vol3d.evaluation.number_check import read_measured

    paths = [Path(folder) / f"{name}.json" for name in ids]
    if not any(path.is_file() for path in paths):
        raise ConfigError(
            "no measurements of any scan", path=folder, expected=f"files such as {paths[0].name}", hint="vol3d measure SCAN --mask MASK --json"
        )
    return [read_measured(path) if path.is_file() else None for path in paths]


def checked_reports(texts: Sequence[str], measured: "Sequence[Measured | None]") -> "list[tuple[Checked, ...]]":
    """Every number with a unit of every report, with its verdict."""
    from data_prep.text.entities import extract_entities
    from data_prep.text.sentences import sentences
    from vol3d.evaluation.number_check import check_report

    return [
        check_report(text, one, spans=[(s.start, s.end) for s in sentences(text)], extractor=extract_entities)
        for text, one in zip(texts, measured, strict=True)
    ]
