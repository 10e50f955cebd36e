"""A corpus as downloaded -> a store that training reads: `prepare` lists, converts, compares, splits and writes the tables.

Every step can be killed at any moment and run again: items are finished when their record is written, and the tables at the end
are a pure function of the records.
"""

import contextlib
import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import vol3d
from data_prep import splits
from data_prep.cluster import run_all
from data_prep.convert import Options, Record, convert, inputs_hash, mask_path, read_record, volume_path, write_record
from data_prep.duplicates import find_leaks
from data_prep.item import Item, Source
from data_prep.sources import find_source
from vol3d.contracts import Row
from vol3d.errors import ConfigError
from vol3d.volume.atomic import atomic_path
from vol3d.volume.manifest import MANIFEST, write_manifest, write_table

logger = logging.getLogger(__name__)
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Summary:
    """What a run ended with."""

    source: str
    found: int
    stored: int
    quarantined: Mapping[str, int]
    expected: Mapping[str, int]
    splits_sha256: str
    store: str


def prepare(
    source: str | Source,
    root: str | Path,
    store: str | Path,
    *,
    workers: int = 0,
    cluster: str | None = None,
    options: Options | None = None,
    fractions: Mapping[str, float] = splits.DEFAULT_FRACTIONS,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Prepare a corpus; done items are skipped, broken ones go to the quarantine table.

    Args:
        source: a name from `data_prep.sources.SOURCES`, or a Source of your own.
        root: the corpus as downloaded; only read.
        store: where the store grows.
        workers, cluster: see `data_prep.cluster.run_all`.
        options: what to accept, how to treat NaN.
        fractions: of patients, for corpora without splits of their own.
        limit: only the first so many items.
        progress: called with (1, key) after each item.

    Raises:
        ConfigError: no such source, or the root holds none of it.
    """
    chosen = find_source(source) if isinstance(source, str) else source
    root, store = Path(root).resolve(), Path(store).resolve()
    if not root.is_dir():
        raise ConfigError("the corpus folder does not exist", found=root)
    items = list(chosen.list_items(root))[:limit]
    if not items:
        raise ConfigError(f"no series of {chosen.title} in this folder", found=root, hint="See 'vol3d prep --list' for the layout that is expected.")
    settings = replace(options or Options(), licence=(options.licence if options and options.licence else chosen.licence))
    items = [pseudonymous(item) for item in items] if settings.pseudonyms else items
    _refuse_double_keys(items)
    _make_folders(store)
    _sweep(store)
    task = partial(convert_named, chosen.name if isinstance(source, str) else chosen, root, store, settings)
    lost = partial(_lost, root, store, settings)
    records = {}
    for record in run_all(task, items, workers=workers, cluster=cluster, on_lost=lost):
        records[record.key] = record
        if progress:
            progress(1, record.key)
    return finish(chosen, store, [records[item.key] for item in items], fractions)


def convert_named(source: str | Source, root: Path, store: Path, options: Options, item: Item) -> Record:
    """`convert` with the source given by name, so that a worker process can look it up."""
    chosen = find_source(source) if isinstance(source, str) else source
    return convert(item, root, store, options, chosen.load)


def _lost(root: Path, store: Path, options: Options, item: Item, why: str) -> Record:
    message = f"its worker died again and again, most likely for lack of memory: {why}"[:500]
    record = Record(item.key, "quarantined", inputs_hash(item, root, options), reason="worker_lost", message=message)
    write_record(store, record)
    return record


def finish(source: Source, store: Path, records: Sequence[Record], fractions: Mapping[str, float]) -> Summary:
    """Leaks out, splits, tables; the same records give the same bytes."""
    by_key = {record.key: record for record in records}
    for leak in find_leaks(records):
        old = by_key[leak.key]
        by_key[leak.key] = replace(old, status="quarantined", reason=leak.reason, message=leak.message)
        write_record(store, by_key[leak.key])
    final = [by_key[key] for key in sorted(by_key)]
    for record in final:
        if record.status != "stored":
            for path in (volume_path(store, record.key), mask_path(store, record.key)):
                shutil.rmtree(path, ignore_errors=True)
    rows = [Row(**record.row) for record in final if record.status == "stored" and record.row]
    rows, digest = _with_splits(rows, store, fractions)
    write_manifest(rows, store / MANIFEST)
    quarantine = [{"key": r.key, "reason": r.reason, "message": r.message} for r in final if r.status != "stored"]
    write_table(quarantine, ("key", "reason", "message"), store / "quarantine.parquet")
    summary = Summary(
        source.name, len(final), len(rows), dict(sorted(Counter(q["reason"] for q in quarantine).items())), dict(source.expected), digest, str(store)
    )
    _write_card(source, store, summary)
    return summary


def _with_splits(rows: list[Row], store: Path, fractions: Mapping[str, float]) -> tuple[list[Row], str]:
    """Splits of the corpus itself, else ours; frozen either way."""
    file = store / "splits.json"
    if all(row.split for row in rows):
        assignment = {row.patient: row.split for row in sorted(rows, key=lambda r: r.series)}
    else:
        frozen = splits.load_frozen(file) if file.exists() else None
        assignment = splits.assign(rows, fractions=fractions, frozen=frozen)
    digest = splits.freeze(assignment, file)
    return [row.model_copy(update={"split": row.split or assignment[row.patient]}) for row in rows], digest


def _write_card(source: Source, store: Path, summary: Summary) -> None:
    card: dict[str, Any] = {
        "source": source.name,
        "title": source.title,
        "licence": source.licence,
        "citation": source.citation,
        "version": vol3d.__version__,
        "counts": {k: v for k, v in asdict(summary).items() if k in ("found", "stored", "quarantined", "expected")},
        "splits_sha256": summary.splits_sha256,
    }
    with atomic_path(store / "corpus.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")


def pseudonymous(item: Item) -> Item:
    """An item whose key, study and patient are hashes; groups stay together."""

    def short(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    return replace(item, key=f"series_{short(item.key)}", study=f"study_{short(item.study)}", patient=f"patient_{short(item.patient)}")


def _refuse_double_keys(items: Sequence[Item]) -> None:
    double = [key for key, n in Counter(item.key for item in items).items() if n > 1]
    if double:
        raise ConfigError("two series have the same key", found=", ".join(double[:5]), hint="Rename the files, or prepare the folders one by one.")


def _make_folders(store: Path) -> None:
    for name in ("volumes", "masks", "records"):
        (store / name).mkdir(parents=True, exist_ok=True)


def _sweep(store: Path) -> None:
    """Take away what a killed run left half-written, and voxels without a record that vouches for them."""
    for folder in (store, *(store / name for name in ("volumes", "masks", "records"))):
        for left in folder.glob(".tmp-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for probe in folder.glob(".probe-*"):
            with contextlib.suppress(OSError):
                probe.unlink()
    for name in ("volumes", "masks"):
        for entry in (store / name).glob("*.zarr"):
            record = read_record(store / "records" / f"{entry.name.removesuffix('.zarr')}.json")
            if record is None or record.status != "stored":
                shutil.rmtree(entry, ignore_errors=True)
