"""Read a label table: a shipped one by name, or a JSON or CSV file of the user's."""

import csv
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from vol3d.errors import ConfigError

SHIPPED = ("totalseg", "totalseg_mr", "totalseg_v1", "vista3d")


def load_table(table: str | Path | Mapping[int, str]) -> dict[int, str]:
    """Label id -> structure name.

    Args:
        table: `totalseg`, `totalseg_mr`, a mapping, `1=liver,2=spleen`, or a file: CSV with columns `id,name`, or JSON as `{"1": "liver"}` or
            `{"liver": 1}`; of a JSON file that holds several tables by name, `FILE.json#NAME`.

    Raises:
        ConfigError: the table does not exist, is empty, repeats an id or a name, or names the background.

    >>> load_table("totalseg")[5], len(load_table("totalseg_mr")), load_table("1=brain_tumour")
    ('liver', 50, {1: 'brain_tumour'})

    """
    if isinstance(table, Mapping):
        return _checked([(key, name) for key, name in table.items()], source="label table")
    if str(table) in SHIPPED:
        text = (files("experts3d.tables") / f"{table}.csv").read_text(encoding="utf-8")
        return _checked(_csv_pairs(text, str(table)), source=str(table))
    if "=" in str(table):
        return _checked([(number, name) for number, _, name in (pair.partition("=") for pair in str(table).split(","))], source="label table")
    name_of_file, _, wanted = str(table).partition(".json#")
    path = Path(f"{name_of_file}.json") if wanted else Path(table)
    if not path.is_file():
        raise ConfigError("no such label table", path=path, expected=f"{', '.join(SHIPPED)}, ID=NAME,..., or a .csv or .json file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        pairs = _json_pairs(text, str(path), wanted) if path.suffix.lower() == ".json" else _csv_pairs(text, str(path))
    except UnicodeDecodeError as error:
        raise ConfigError("the label table is not text", path=path, expected="UTF-8 CSV or JSON") from error
    return _checked(pairs, source=str(path))


def _csv_pairs(text: str, source: str) -> list[tuple[object, object]]:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or not {"id", "name"} <= set(rows[0]):
        raise ConfigError("the label table lacks its columns", path=source, expected="a header line 'id,name'", found=text[:40])
    return [(row["id"], row["name"]) for row in rows]


def _json_pairs(text: str, source: str, wanted: str) -> list[tuple[object, object]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError("the label table is not JSON", path=source, found=str(error)) from error
    # nnU-Net's dataset.json keeps its table under "labels", with the background in it.
    content = content.get("labels", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise ConfigError("the label table is not a JSON object", path=source, expected='{"1": "liver", ...}')
    content = _one_of_several(content, source, wanted)
    names_first = all(isinstance(value, int) for value in content.values())
    pairs = [(value, key) if names_first else (key, value) for key, value in content.items()]
    return [(key, name) for key, name in pairs if str(key) != "0"]


def _one_of_several(content: dict, source: str, wanted: str) -> dict:
    """Of a file with several tables by name, the one that was asked for, or the only one."""
    tables = {name: table for name, table in content.items() if isinstance(table, dict)}
    if not tables and not wanted:
        return content
    name = wanted or (next(iter(tables)) if len(tables) == len(content) == 1 else "")
    if name not in tables:
        raise ConfigError(
            "the file holds several label tables, or none of this name", path=source, found=", ".join(tables) or "one table without a name",
            hint=f"Name one: {source}#{next(iter(tables), 'NAME')}",
        )  # fmt: skip
    return tables[name]


def _checked(pairs: list[tuple[object, object]], *, source: str) -> dict[int, str]:
    table: dict[int, str] = {}
    for key, name in pairs:
        if not str(key).strip().isdecimal() or int(str(key)) == 0 or not isinstance(name, str) or not name.strip():
            raise ConfigError("a label table line makes no sense", path=source, expected="id >= 1 and a name", found=f"{key!r}: {name!r}"[:120])
        clean = name.strip().replace(" ", "_")
        if int(str(key)) in table or clean in table.values():
            raise ConfigError("the label table repeats an id or a name", path=source, found=f"{key}: {name}")
        table[int(str(key))] = clean
    if not table:
        raise ConfigError("the label table is empty", path=source)
    return table
