"""What every evaluation hands back: rows with intervals, and where they came from. One schema for all tasks.

A number without its data hash, scorer and settings cannot be compared with another, so `ResultFile` does not exist without them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vol3d import __version__
from vol3d.errors import ConfigError
from vol3d.evaluation.statistics import Estimate
from vol3d.volume.atomic import atomic_path

SCHEMA = "vol3d-result/1"


class MetricRow(BaseModel):
    """One metric: over how many items, its value, its interval (None where there is none to give)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    metric: str
    n: int
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None


class Provenance(BaseModel):
    """Where numbers came from; `settings` holds what the scorer was told, `data` the SHA-256 of each file that was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    scorer: str
    scorer_version: str = __version__
    model: str = ""
    prompts: str = ""
    decoding: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


class ResultFile(BaseModel):
    """Rows, provenance, and optionally one record per item (what was asked, read, scored)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: str = SCHEMA
    task: str
    rows: tuple[MetricRow, ...]
    provenance: Provenance
    items: tuple[dict[str, Any], ...] = ()

    def find(self, metric: str) -> MetricRow | None:
        """The row of a metric."""
        return next((row for row in self.rows if row.metric == metric), None)


def row(metric: str, estimate: Estimate) -> MetricRow:
    """An estimate as a row."""
    return MetricRow(metric=metric, n=estimate.n, value=estimate.value, ci_low=estimate.low, ci_high=estimate.high)


def plain_row(metric: str, value: float | None, n: int) -> MetricRow:
    """A row that has no interval."""
    return MetricRow(metric=metric, n=n, value=value)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def hashes(paths: Iterable[str | Path | None]) -> dict[str, str]:
    """File name -> SHA-256, for provenance; names without folders, so that results do not carry a machine's paths.

    Files of the same name get as many of their folders as tell them apart. A folder of measurements is the SHA-256 of its JSON files' names and hashes.
    """
    files = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths if path is not None))  # noqa: PTH100 - links keep their names
    return {_short(file, files): _sha256_of_folder(file) if file.is_dir() else sha256_of(file) for file in files}


def _short(file: Path, files: Sequence[Path]) -> str:
    depth = 1
    while any(other != file and other.parts[-depth:] == file.parts[-depth:] for other in files):
        depth += 1
    return Path(*file.parts[-depth:]).as_posix()


def _sha256_of_folder(folder: Path) -> str:
    listed = "".join(f"{file.name} {sha256_of(file)}\n" for file in sorted(folder.glob("*.json")))
    return hashlib.sha256(listed.encode()).hexdigest()


def write_result(result: ResultFile, path: str | Path) -> None:
    """Write a result as JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(result.model_dump_json(indent=1), encoding="utf-8")


def read_result(path: str | Path) -> ResultFile:
    """Read a result; ConfigError where the file is something else."""
    try:
        return ResultFile.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"not a result of vol3d: {reason}", path=path, expected=SCHEMA) from error


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Records of a JSON list, a JSON object with one list of records, or JSON lines.

    Errors: ConfigError names the line that is no JSON object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("not a UTF-8 text file", path=path, expected="JSON or JSON lines") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        return _json_lines(text, path)
    if isinstance(document, dict):
        lists = [document[key] for key in ("questions", "results", "predictions", "records", "items") if isinstance(document.get(key), list)]
        document = lists[0] if lists else [document]
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise ConfigError("no list of records", path=path, expected="a JSON list of objects, or JSON lines")
    return document


def _json_lines(text: str, path: str | Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"line {number} is not JSON: {error.msg}", path=path, expected="JSON or JSON lines") from error
        if not isinstance(record, dict):
            raise ConfigError(f"line {number} is not a JSON object", path=path, found=type(record).__name__)
        records.append(record)
    if not records:
        raise ConfigError("no records", path=path, expected="at least one question or prediction", found="an empty file")
    return records


def write_json_lines(records: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Write records as JSON lines, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
