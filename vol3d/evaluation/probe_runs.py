"""Ask a model the same questions about changed scans and changed evidence, and set each beside the unchanged ones.

Every condition has its own file of answers (`base.jsonl`, `blank.jsonl`, ...), so that a run can be cut off and go on, and can be scored again.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError
from vol3d.evaluation.evidence_probes import EVIDENCE_PROBES
from vol3d.evaluation.models import Answerer, Inspectable, UsesEvidence
from vol3d.evaluation.models.prompts import DEFAULT
from vol3d.evaluation.models.run import find_scan, run_vqa
from vol3d.evaluation.probes import PROBES, collapse_rows
from vol3d.evaluation.results import MetricRow, plain_row
from vol3d.evaluation.retrieval import relevance, retrieval_rows
from vol3d.evaluation.vqa_table import patient_of
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume

SWAPPED, NO_IMAGE = "swapped", "no_image"
NAMES = (NO_IMAGE, SWAPPED, *PROBES, *EVIDENCE_PROBES)


def run_probes(
    answerer: Answerer,
    records: Sequence[Mapping[str, Any]],
    scans: str | Path,
    folder: str | Path,
    *,
    names: Sequence[str] = NAMES,
    form: Literal["mc", "free"] = "mc",
    template: str = DEFAULT,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Answers under `base` and under each named probe; gives the files, and why a probe was left out.

    Errors: ConfigError for an unknown probe, missing scans, or where every question of a condition failed.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ConfigError("no such probe", expected=" | ".join(NAMES), found=", ".join(unknown))
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    for name in ("base", *names):
        how = _setup(name, answerer, records, seed)
        if isinstance(how, str):
            skipped[name] = how
            continue
        files[name] = target / f"{name}.jsonl"
        asked, settings = how
        failures = run_vqa(
            asked, records, None if name == NO_IMAGE else scans, files[name], form=form, template=template, on_progress=on_progress,
            condition=condition_of(name, seed), **settings,
        )  # fmt: skip
        if failures == len(records):
            raise ConfigError(f"every question failed under {name}", path=files[name], hint="The file holds each question's error.")
    return files, skipped


def _setup(name: str, answerer: Answerer, records: Sequence[Mapping[str, Any]], seed: int) -> tuple[Answerer, dict[str, Any]] | str:
    """Who is asked, and with what of `run_vqa`; or the reason why this probe cannot be put to this model."""
    if name in PROBES:
        return answerer, {"change": partial(changed_scan, name=name, seed=seed)}
    if name in EVIDENCE_PROBES:
        if not isinstance(answerer, UsesEvidence):
            return "this model gets no evidence from experts"
        return answerer.with_evidence(EVIDENCE_PROBES[name]), {}
    if name == SWAPPED:
        partners = swap_partners(records, np.random.default_rng(seed))
        return "swapping needs scans of at least two patients" if partners is None else (answerer, {"instead": partners})
    return answerer, {}


def condition_of(name: str, seed: int) -> str:
    """What a line of answers says of a probe: its name, and the seed that drew its noise or its swap.

    >>> condition_of("swapped", 3), condition_of("no_image", 3)
    ('swapped, seed 3', 'no_image')
    """
    return f"{name}, seed {seed}" if name == SWAPPED or name in PROBES else name


def changed_scan(volume: Volume, *, name: str, seed: int) -> Volume:
    """The probe's scan: the same one every time, whatever was asked before."""
    return PROBES[name].apply(volume, np.random.default_rng([seed, zlib.crc32(Path(volume.source).name.encode())]))


def swap_partners(records: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> dict[str, str] | None:
    """For each scan one of the next patient in a random cycle; None where there is one patient only.

    >>> swap_partners([{"image_id": "a"}, {"image_id": "b"}], np.random.default_rng(0))
    {'a': 'b', 'b': 'a'}
    """
    by_patient: dict[str, list[str]] = {}
    for record in records:
        name = str(record["image_id"])
        mine = by_patient.setdefault(str(record.get("patient") or patient_of(name)), [])
        if name not in mine:
            mine.append(name)
    if len(by_patient) < 2:
        return None
    order = [list(by_patient)[i] for i in rng.permutation(len(by_patient))]
    after = dict(zip(order, [*order[1:], order[0]], strict=True))
    return {
        name: by_patient[after[patient]][i % len(by_patient[after[patient]])] for patient, names in by_patient.items() for i, name in enumerate(names)
    }


def representation_rows(
    model: Inspectable, records: Sequence[Mapping[str, Any]], scans: str | Path, *, num_resamples: int = 2000, seed: int = 0
) -> list[MetricRow]:
    """Collapse of the scans' features, and alignment: does a scan make its own answers likelier than other scans' answers?

    Alignment is retrieval: scan i against the questions and true answers of scan j, by the mean log probability per token minus
    what the blind model gives them, so that answers which are likely anyway win nothing.
    """
    pairs: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        pairs.setdefault(str(record["image_id"]), []).append((str(record["question"]), str(record["answer"])))
    names = list(pairs)
    blind = np.array([float(np.mean(model.log_likelihoods(None, pairs[name]))) for name in names])
    features, likeness = [], []
    for name in names:
        path = find_scan(scans, name)
        if path is None:
            raise ConfigError("a scan is missing", path=scans, expected=f"{name}.nii.gz")
        volume = read_volume(path)
        features.append(model.features(volume))
        likeness.append([float(np.mean(model.log_likelihoods(volume, pairs[other]))) for other in names])
    rows = [] if len(names) < 2 else _prefixed("collapse", collapse_rows(np.stack(features)))
    return rows + alignment_rows(np.array(likeness) - blind[None, :], names, num_resamples=num_resamples, seed=seed)


def alignment_rows(likeness: Float[np.ndarray, "n n"], names: Sequence[str], *, num_resamples: int = 2000, seed: int = 0) -> list[MetricRow]:
    """Retrieval of each scan's own text, and how much likelier it is than the others' on average."""
    if len(names) < 2:
        return []
    found = retrieval_rows(
        likeness, relevance(names, names), [patient_of(n) for n in names], ks=(1, 5), pools=(), num_resamples=num_resamples, seed=seed
    )
    own = np.diag(likeness)
    others = (likeness.sum(axis=1) - own) / (len(names) - 1)
    return [*_prefixed("alignment", found), plain_row("alignment/margin", float(np.mean(own - others)), len(names))]


def _prefixed(prefix: str, rows: Sequence[MetricRow]) -> list[MetricRow]:
    return [row.model_copy(update={"metric": f"{prefix}/{row.metric}"}) for row in rows]
