"""Scans that are there twice, and patients that stand on both sides of a split."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.check import similarity
from data_prep.convert import Record

# Two reconstructions of one scan correlate above 0.999; different patients in the same pose stay below 0.99.
_NEAR = 0.9995
_BLOCK = 1024
# The copy in training goes, so that published evaluation sets stay what they are.
_KEEP_FIRST = ("test", "valid", "validation", "val", "")


@dataclass(frozen=True)
class Finding:
    """One series that has to go, why, and because of which other."""

    key: str
    reason: str
    message: str


def find_leaks(records: Sequence[Record]) -> list[Finding]:
    """Series to take out: equal voxels, near-equal scans of different patients, mirrored copies, patients in two splits.

    Several reconstructions of one study are no duplicates; a scan under two names of patients is, whatever its split.
    """
    stored = sorted((r for r in records if r.status == "stored" and r.row), key=_rank)
    out: dict[str, Finding] = {}
    _equal_voxels(stored, out)
    _near_duplicates([r for r in stored if r.key not in out], out)
    _mirrored_copies([r for r in stored if r.key not in out], out)
    _torn_patients([r for r in stored if r.key not in out], out)
    return [out[key] for key in sorted(out)]


def _rank(record: Record) -> tuple[int, str]:
    split = record.row["split"] if record.row else ""
    return (_KEEP_FIRST.index(split) if split in _KEEP_FIRST else len(_KEEP_FIRST), record.key)


def _equal_voxels(records: list[Record], out: dict[str, Finding]) -> None:
    first: dict[str, Record] = {}
    for record in records:
        assert record.row is not None
        other = first.setdefault(record.row["sha256"], record)
        if other is not record:
            out[record.key] = _finding(record, other, "the same voxels")


def _finding(record: Record, other: Record, what: str) -> Finding:
    assert record.row is not None
    assert other.row is not None
    across = record.row["split"] != other.row["split"]
    where = f" ({record.row['split']} and {other.row['split']})" if across else ""
    return Finding(record.key, "duplicate_across_splits" if across else "duplicate", f"{what} as {other.key}{where}; that one is kept")


def _near_duplicates(records: list[Record], out: dict[str, Finding]) -> None:
    if not records:
        return
    prints = np.stack([np.frombuffer(bytes.fromhex(r.checks["fingerprint"]), np.uint8) for r in records])
    for start in range(0, len(records), _BLOCK):
        close = similarity(prints[start : start + _BLOCK], prints) > _NEAR
        for i, j in zip(*np.nonzero(close), strict=True):
            first, second = records[int(j)], records[start + int(i)]
            if int(j) >= start + int(i) or second.key in out or first.key in out:
                continue
            assert first.row is not None
            assert second.row is not None
            if first.row["patient"] != second.row["patient"] and _same_extent(first, second):
                out[second.key] = _finding(second, first, "nearly the same scan")


def _mirrored_copies(records: list[Record], out: dict[str, Finding]) -> None:
    """Two series that agree only when one is flipped left to right; the one whose liver lies further left goes, else the later."""
    if not records:
        return
    prints = np.stack([np.frombuffer(bytes.fromhex(r.checks["fingerprint"]), np.uint8).reshape(8, 8, 8) for r in records])
    flipped, flat = prints[:, :, :, ::-1].reshape(len(prints), -1), prints.reshape(len(prints), -1)
    for start in range(0, len(records), _BLOCK):
        mirrored, straight = (similarity(p[start : start + _BLOCK], flat) for p in (flipped, flat))
        for i, j in zip(*np.nonzero((mirrored > _NEAR) & (straight < _NEAR)), strict=True):
            first, second = records[int(j)], records[start + int(i)]
            if int(j) < start + int(i) and _same_extent(first, second):
                here, there = (r.checks.get("liver_side") for r in (first, second))
                wrong, right = (first, second) if here is not None and there is not None and here < there else (second, first)
                out.setdefault(wrong.key, Finding(wrong.key, "mirrored", f"left and right are exchanged against {right.key}"))


def _same_extent(a: Record, b: Record) -> bool:
    """Near-duplicates cover the same space; two small fields of view in one pose may correlate by chance."""
    assert a.row is not None
    assert b.row is not None
    extents = [np.array(r["spacing_mm"]) * np.array(r["shape"]) for r in (a.row, b.row)]
    return bool((np.abs(extents[0] - extents[1]) < 0.02 * extents[0]).all())


def _torn_patients(records: list[Record], out: dict[str, Finding]) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        assert record.row is not None
        splits[record.row["patient"]].add(record.row["split"])
    for record in records:
        assert record.row is not None
        names = splits[record.row["patient"]]
        kept = min(names, key=lambda name: (_KEEP_FIRST.index(name) if name in _KEEP_FIRST else len(_KEEP_FIRST), name))
        if len(names) > 1 and record.row["split"] != kept:
            out[record.key] = Finding(record.key, "patient_in_two_splits", f"patient {record.row['patient']} is also in {kept}; that one is kept")
