"""Patient-level splits, stratified by labels, frozen by a hash: a patient never moves once it was assigned."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from vol3d.contracts import Row
from vol3d.errors import CheckpointError, ConfigError, VolumeError
from vol3d.volume.atomic import atomic_path

DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.8, "valid": 0.1, "test": 0.1}


def assign(
    rows: Sequence[Row], *, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, salt: str = "vol3d", frozen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Patient -> split.

    Patients are grouped by the rarest label that any of their series carries, and each group is cut by the fractions in the
    order of a salted hash: nothing depends on the order of the rows, and new patients do not move old ones.

    Raises:
        ConfigError: fractions that do not sum to 1.

    >>> row = Row(study="s", patient="p", series="a", path="", modality="CT", spacing_mm=(1, 1, 1), shape=(2, 2, 2))
    >>> assign([row], fractions={"train": 1.0})
    {'p': 'train'}
    """
    if abs(sum(fractions.values()) - 1) > 1e-6 or min(fractions.values()) < 0:
        raise ConfigError("split fractions must sum to 1", expected="1", found=dict(fractions))
    out = dict(frozen or {})
    strata: dict[str, list[str]] = defaultdict(list)
    for patient, stratum in _strata(rows).items():
        strata[stratum].append(patient)
    debt = dict.fromkeys(fractions, 0.0)  # carried over from stratum to stratum, so that many small ones still add up
    for stratum in sorted(strata):
        patients = sorted(strata[stratum], key=lambda p: hashlib.sha256(f"{salt}/{p}".encode()).hexdigest())
        for patient in patients:
            for name, fraction in fractions.items():
                debt[name] += fraction
            if patient not in out:
                out[patient] = max(debt, key=lambda name: debt[name])
            debt[out[patient]] = debt.get(out[patient], 0.0) - 1.0
    return {patient: out[patient] for patient in sorted(out)}


def _strata(rows: Sequence[Row]) -> dict[str, str]:
    counts: dict[str, int] = defaultdict(int)
    carried: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        carried[row.patient] |= {name for name, value in row.labels.items() if value == 1}
    for names in carried.values():
        for name in names:
            counts[name] += 1
    return {patient: min(names, key=lambda n: (counts[n], n)) if names else "" for patient, names in carried.items()}


def split_hash(assignment: Mapping[str, str]) -> str:
    """One hash of who is where."""
    return hashlib.sha256(json.dumps(dict(assignment), sort_keys=True).encode()).hexdigest()


def freeze(assignment: Mapping[str, str], path: str | Path) -> str:
    """Write an assignment with its hash; returns the hash."""
    digest = split_hash(assignment)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"sha256": digest, "patients": dict(assignment)}, sort_keys=True, indent=1), encoding="utf-8")
    return digest


def load_frozen(path: str | Path) -> dict[str, str]:
    """The assignment that `freeze` wrote.

    Raises:
        CheckpointError: it was changed since.
        VolumeError: not a split file.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        assignment = {str(k): str(v) for k, v in document["patients"].items()}
        stated = document["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VolumeError("not a file of frozen splits", path=path, found=repr(error)) from error
    if split_hash(assignment) != stated:
        raise CheckpointError("the splits were changed after they were frozen", path=path, expected=stated[:12], found=split_hash(assignment)[:12])
    return assignment


def check_leakage(rows: Sequence[Row]) -> list[str]:
    """Patients that stand in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[row.patient].add(row.split)
    return sorted(patient for patient, names in splits.items() if len(names) > 1)
