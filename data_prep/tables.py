"""Tables that corpora come with: CSV and XLSX as lists of dictionaries, JSON; read strictly, without a spreadsheet library."""

import csv
import json
import re
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

from vol3d.errors import ArchiveError, VolumeError

_MAX_XLSX_BYTES = 2 << 30
_NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def read_csv(path: str | Path, *, key: str | None = None) -> list[dict[str, str]]:
    """Rows of a CSV; `key` is a column that must be there.

    Raises:
        VolumeError: no such column, or not a table.
    """
    csv.field_size_limit(min(sys.maxsize, 1 << 30))  # reports are longer than the default of 128 KB allows
    with Path(path).open(newline="", encoding="utf-8-sig") as handle:
        rows = [{k: v or "" for k, v in row.items() if k is not None} for row in csv.DictReader(handle)]
    _require_column(rows, key, path)
    return rows


def by_column(rows: list[dict[str, str]], column: str) -> dict[str, dict[str, str]]:
    """Rows by the value of a column; the first row of a value counts."""
    out: dict[str, dict[str, str]] = {}
    for row in rows:
        out.setdefault(row[column], row)
    return out


def read_xlsx(path: str | Path, *, key: str | None = None) -> list[dict[str, str]]:
    """Rows of the first sheet of a workbook, under its first row; formulas give their stored value.

    Raises:
        VolumeError: not a workbook. ArchiveError: it would unpack to more than 2 GB.
    """
    try:
        with zipfile.ZipFile(path) as book:
            if sum(info.file_size for info in book.infolist()) > _MAX_XLSX_BYTES:
                raise ArchiveError("the workbook unpacks to too much", path=path, expected="at most 2 GB")
            shared = _shared_strings(book)
            sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))
    except (zipfile.BadZipFile, KeyError, ET.ParseError) as error:
        raise VolumeError("not an XLSX workbook", path=path, found=repr(error)) from error
    table = [
        {_column(cell.get("r", "")): _value(cell, shared) for cell in row.findall("m:c", _NS)} for row in sheet.iterfind("m:sheetData/m:row", _NS)
    ]
    if not table:
        return []
    header = table[0]
    rows = [{name: row.get(column, "") for column, name in header.items()} for row in table[1:]]
    _require_column(rows, key, path)
    return rows


def read_json(path: str | Path) -> Any:
    """A JSON document.

    Raises:
        VolumeError: not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise VolumeError("not a JSON document", path=path, found=str(error)) from error


def _require_column(rows: list[dict[str, str]], key: str | None, path: str | Path) -> None:
    if key is not None and rows and key not in rows[0]:
        raise VolumeError("this table lacks a column", path=path, expected=key, found=", ".join(rows[0])[:120])


def _shared_strings(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    root = ET.fromstring(book.read("xl/sharedStrings.xml"))
    return ["".join(text.text or "" for text in item.iter(f"{{{_NS['m']}}}t")) for item in root.findall("m:si", _NS)]


def _column(reference: str) -> str:
    return re.sub(r"\d", "", reference)


def _value(cell: ET.Element, shared: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return "".join(text.text or "" for text in cell.iter(f"{{{_NS['m']}}}t"))
    value = cell.findtext("m:v", "", _NS)
    return shared[int(value)] if cell.get("t") == "s" and value else value
