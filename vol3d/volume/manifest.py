"""The table of a corpus: Rows as Parquet, one per series; written by corpus preparation, read by training."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

import pyarrow as pa
import pyarrow.parquet as pq

from vol3d.contracts import Row
from vol3d.errors import VolumeError
from vol3d.volume.atomic import atomic_path

MANIFEST = "manifest.parquet"
_SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("patient", pa.string()),
        ("series", pa.string()),
        ("path", pa.string()),
        ("modality", pa.string()),
        ("spacing_mm", pa.list_(pa.float64(), 3)),
        ("shape", pa.list_(pa.int64(), 3)),
        ("findings", pa.string()),
        ("impression", pa.string()),
        ("technique", pa.string()),
        ("labels", pa.map_(pa.string(), pa.int64())),
        ("split", pa.string()),
        ("licence", pa.string()),
        ("sha256", pa.string()),
        ("synthetic", pa.bool_()),
    ]
)


def write_manifest(rows: Sequence[Row], path: str | Path) -> None:
    """Write rows in the given order.

    >>> import tempfile
    >>> row = Row(study="s", patient="p", series="a", path="volumes/a.zarr", modality="CT", spacing_mm=(1, 1, 1), shape=(2, 2, 2))
    >>> file = Path(tempfile.mkdtemp()) / "manifest.parquet"
    >>> write_manifest([row], file)
    >>> read_manifest(file) == (row,)
    True
    """
    columns = [row.model_dump() | {"labels": list(row.labels.items())} for row in rows]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(columns, schema=_SCHEMA), temporary, compression="zstd")


def read_manifest(path: str | Path, *, split: str | None = None) -> tuple[Row, ...]:
    """Rows of a manifest, or of the store that holds one.

    Raises:
        VolumeError: no manifest, or not one of ours, or a row whose path or series leads out of the store.
    """
    file = Path(path)
    file = file / MANIFEST if file.is_dir() else file
    try:
        records = pq.read_table(file).to_pylist()
        rows = tuple(Row(**(record | {"labels": dict(record["labels"])})) for record in records)
    except FileNotFoundError as error:
        raise VolumeError("there is no manifest here", path=file, hint="Prepare the corpus first: vol3d prep SOURCE ROOT STORE.") from error
    except (pa.ArrowInvalid, TypeError, KeyError, ValueError) as error:
        raise VolumeError("not a corpus manifest", path=file, found=repr(error)[:200]) from error
    for row in rows:
        for name in (row.path, row.series):
            if _leads_out(name):
                raise VolumeError("a row leads out of the store", path=file, expected="names below the store's folder", found=name)
    return rows if split is None else tuple(row for row in rows if row.split == split)


def _leads_out(name: str) -> bool:
    """Whether a name is absolute or climbs, as either system reads it: a manifest may come from anywhere, and its names are opened and written."""
    path = PureWindowsPath(name)  # splits at both slashes
    return bool(path.anchor) or ".." in path.parts


def mask_key(row: Row) -> str:
    """Where the masks of a row stand in its store, if it has any.

    >>> mask_key(Row(study="s", patient="p", series="a", path="volumes/a.zarr", modality="CT", spacing_mm=(1, 1, 1), shape=(2, 2, 2)))
    'masks/a.zarr'
    """
    return row.path.replace("volumes/", "masks/", 1)


def write_table(records: Iterable[dict[str, str]], names: Sequence[str], path: str | Path) -> None:
    """A small table of strings (quarantine, counts) as Parquet."""
    schema = pa.schema([(name, pa.string()) for name in names])
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(records), schema=schema), temporary, compression="zstd")


def read_table(path: str | Path) -> list[dict[str, str]]:
    """What `write_table` wrote."""
    try:
        return pq.read_table(path).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise VolumeError("not a table", path=path, found=repr(error)[:200]) from error
