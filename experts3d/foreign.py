"""Experts of other projects, each in its own environment behind a worker: TotalSegmentator, lungmask, nnU-Net folders, VoxTell."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from experts3d.anatomy import FINDINGS, is_lesion
from experts3d.environments import environment_python
from experts3d.label_table import load_table
from experts3d.snomed import snomed_codes
from experts3d.worker import WorkerExpert
from vol3d.contracts import ExpertCard
from vol3d.errors import ExpertError

_ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "pancreas", "lung_left", "lung_right", "heart", "aorta", "brain")


def totalsegmentator(
    *, python: str | Path | None = None, modality: str = "CT", fast: bool = True, device: str = "cpu", environment: Mapping[str, str] | None = None
) -> WorkerExpert:
    """117 structures of a CT, or 50 of an MR.

    Args:
        python: Python of an environment that has TotalSegmentator; None: the one that `vol3d experts install totalsegmentator` makes.
        modality: `CT` or `MR`.
        fast: the 3 mm model instead of the 1.5 mm ones.
        device: `cpu` or `gpu`.
        environment: further variables for the worker.

    """
    task, table = ("total", "totalseg") if modality == "CT" else ("total_mr", "totalseg_mr")
    card = _card(
        "totalsegmentator" if modality == "CT" else "totalsegmentator_mr", "2.18.0", (modality,), "organs, vessels, bones and muscles by name",
        tuple(load_table(table).values()), cost="one to five minutes on a CPU at 3 mm", licence="Apache-2.0", commercial=True,
    )  # fmt: skip
    settings = {"VOL3D_TASK": task, "VOL3D_FAST": "1" if fast else "0", "VOL3D_DEVICE": device} | dict(environment or {})
    return _worker(card, "totalsegmentator", python, settings)


def lungmask(
    *,
    python: str | Path | None = None,
    lobes: bool = False,
    weights: str | Path | None = None,
    device: str = "cpu",
    environment: Mapping[str, str] | None = None,
) -> WorkerExpert:
    """Both lungs of a CT with whole slices, or the five lobes.

    Args:
        python: Python of an environment that has lungmask; None: the one that `vol3d experts install lungmask` makes.
        lobes: the lobe model instead of the two-lung one.
        weights: a file of weights; None: the package fetches its own.
        device: `cpu` or `cuda`.
        environment: further variables for the worker.

    """
    sides = ("lung_left", "lung_right")
    parts = ("lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right")
    card = _card(
        "lungmask", "0.2.22", ("CT",), "lungs with dense disease inside, or lobes", parts if lobes else sides, cost="under a minute on a CPU",
        licence="Apache-2.0", commercial=True,
    )  # fmt: skip
    settings = {"VOL3D_MODEL": "LTRCLobes" if lobes else "R231", "VOL3D_DEVICE": device} | dict(environment or {})
    return _worker(card, "lungmask", python, settings | ({"VOL3D_WEIGHTS": str(weights)} if weights else {}))


def nnunet(
    *,
    model: str | Path,
    modality: str = "CT",
    python: str | Path | None = None,
    checkpoint: str = "checkpoint_final.pth",
    device: str = "cpu",
    environment: Mapping[str, str] | None = None,
) -> WorkerExpert:
    """A trained nnU-Net v2 folder of the user's.

    Args:
        model: folder with plans.json, dataset.json and fold_*.
        modality: what it was trained on.
        python: Python of an environment that has nnunetv2; None: the one that `vol3d experts install nnunet` makes.
        checkpoint: file in each fold.
        device: `cpu` or `cuda`.
        environment: further variables for the worker.

    """
    file = Path(model) / "dataset.json"
    if not file.is_file():
        raise ExpertError("this is no trained nnU-Net folder", path=model, expected="dataset.json, plans.json and fold_*")
    labels = json.loads(file.read_text(encoding="utf-8")).get("labels", {})
    names = tuple(name.replace(" ", "_") for name, i in labels.items() if isinstance(i, int) and i > 0)
    if not names:
        raise ExpertError("the nnU-Net folder names no labels", path=file)
    card = _card("nnunet", "2.8.1", (modality,), f"nnU-Net {Path(model).name}", names, cost="minutes", licence="the model's own", commercial=False)
    settings = {"VOL3D_MODEL": str(Path(model).absolute()), "VOL3D_CHECKPOINT": checkpoint, "VOL3D_DEVICE": device} | dict(environment or {})
    return _worker(card, "nnunet", python, settings)


def voxtell(
    *,
    python: str | Path | None = None,
    model: str | Path | None = None,
    prompts: Sequence[str] = (),
    device: str = "cuda",
    environment: Mapping[str, str] | None = None,
) -> WorkerExpert:
    """Masks for words: organs and findings by name, and whatever else `prompts` lists.

    Args:
        python: Python of an environment that has voxtell; None: the one that `vol3d experts install voxtell` makes.
        model: a local model folder; None: the package fetches its own.
        prompts: further structures, as names with underscores.
        device: `cuda` or `cpu`.
        environment: further variables for the worker.

    """
    names = tuple(sorted(dict.fromkeys([*_ORGANS, *FINDINGS, *prompts]), key=is_lesion))
    card = _card(
        "voxtell", "0.1.2", ("CT", "MR"), "organs and findings by name, from free text", names, cost="seconds per structure on a GPU",
        licence="code Apache-2.0; weights: see their page", commercial=False,
    )  # fmt: skip
    settings = {"VOL3D_DEVICE": device} | ({"VOL3D_MODEL": str(model)} if model else {}) | dict(environment or {})
    return _worker(card, "voxtell", python, settings)


def _worker(card: ExpertCard, name: str, python: str | Path | None, settings: Mapping[str, str]) -> WorkerExpert:
    program = Path(python) if python else environment_python(name)
    if not program.is_file():
        raise ExpertError(f"{name} has no environment on this machine", path=program, hint=f"Run: vol3d experts install {name}")
    return WorkerExpert(card, python=program, handler=f"{name}_handler.py", environment=settings)


def _card(
    name: str, version: str, modalities: tuple, summary: str, targets: tuple[str, ...], *, cost: str, licence: str, commercial: bool
) -> ExpertCard:
    return ExpertCard(
        name=name, version=version, modalities=modalities, summary=summary, targets=targets, arguments=targets, snomed=snomed_codes(targets),
        cost=cost, licence=licence, commercial_use=commercial, weights="fetched or named by the user",
    )  # fmt: skip
