"""Flags that say which model is asked and what it is fed: shared by `evaluate vqa` and `evaluate probes`."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vol3d.contracts import EvidenceSource
    from vol3d.evaluation.models import Answerer
    from vol3d.volume.volume import Volume


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """`--scans`, `--masks`, `--feed`, `--slices`, `--max-new-tokens`."""
    parser.add_argument("--scans", metavar="DIR", help="with --run: folder of IMAGE_ID.nii.gz")
    parser.add_argument("--masks", metavar="DIR", help="with --run of a vol3d model: folder of IMAGE_ID.nii.gz label files that join the experts")
    parser.add_argument("--labels", metavar="TABLE", help="names of the masks' labels (default: the names in the files)")
    parser.add_argument("--feed", choices=("frames", "medgemma", "m3d", "merlin"), help="with --run: what other people's models get")
    parser.add_argument("--slices", type=int, metavar="N", help="with --run: at most so many pictures")
    parser.add_argument("--trust-remote-code", action="store_true", help="with --run m3d:NAME: run the code that its repository brings")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="with --run: length of an answer")


def answerer_of(args: argparse.Namespace, spec: str | None = None) -> "Answerer":
    """The model of a command line."""
    from vol3d.evaluation.models.specs import answerer_from

    return answerer_from(
        spec or args.run,
        experts=experts_with_masks(args.masks, args.labels),
        trust_remote_code=args.trust_remote_code,
        feed=args.feed,
        slices=args.slices,
        max_new_tokens=args.max_new_tokens,
    )


def experts_with_masks(masks: "str | Path | None", labels: str | None = None) -> "Callable[[Volume], EvidenceSource]":
    """Scan -> the experts that are ready on this machine, and that scan's own masks before them where a folder has some."""

    def experts(volume: "Volume") -> "EvidenceSource":
        from experts3d.cache import LabelCache
        from experts3d.cards import load_expert, ready_experts
        from experts3d.panel import Panel

        own = [] if masks is None else [load_expert("supplied", source=_mask_of(masks, volume), labels=labels, resample=True)]
        return Panel([*own, *ready_experts()], cache=LabelCache(), pictures_per_plane=0)

    return experts


def _mask_of(folder: "str | Path", volume: "Volume") -> "Path":
    """The label file that is named as the scan. Raises ConfigError where there is none."""
    from pathlib import Path

    from vol3d.errors import ConfigError
    from vol3d.evaluation.models.run import find_scan

    name = Path(volume.source).name.removesuffix(".gz").removesuffix(".nii")
    path = find_scan(folder, name)
    if path is None:
        raise ConfigError("no masks for a scan", path=folder, expected=f"{name}.nii.gz")
    return path
