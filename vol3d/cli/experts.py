"""`vol3d experts list | check | install NAME`: what can segment on this machine, whether it works, and what to add."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vol3d.contracts import Expert

SUMMARY = "list the segmentation experts, check that they run here, install one"
EXAMPLE = "vol3d experts list"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action",
        choices=("list", "check", "install"),
        help="list: cards and what is missing; check: run each on a phantom; install: make its environment",
    )
    parser.add_argument("name", nargs="?", help="which expert (install needs one; list and check take all without)")
    parser.add_argument("--weights", metavar="FILE", help="for check NAME: a file of weights instead of the one that the expert finds itself")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """List or check; `check` exits 1 when an expert that is installed does not run."""
    from vol3d.cli.console import print_json, stdout_to_stderr

    if args.action == "install":
        return _install(args)
    with stdout_to_stderr():
        experts = [_listed(name, check=args.action == "check", weights=args.weights) for name in _names(args)]
    if args.json:
        print_json({"experts": experts})
    else:
        _print(experts, checked=args.action == "check")
    return 1 if any(item["status"] == "failed" for item in experts) else 0


def _install(args: argparse.Namespace) -> int:
    """Make the environment of an expert that needs one of its own."""
    from experts3d.environments import PACKAGES, install
    from vol3d.cli.console import print_json, progress
    from vol3d.errors import ConfigError

    if args.name not in PACKAGES:
        raise ConfigError("say which expert to install", expected=", ".join(PACKAGES), found=args.name or "nothing")
    with progress(f"Installing {args.name}"):
        python = install(args.name)
    if args.json:
        print_json({"expert": args.name, "python": python})
    else:
        print(f"{args.name} is installed: {python}")
    return 0


def _names(args: argparse.Namespace) -> tuple[str, ...]:
    from experts3d.cards import expert_names
    from vol3d.cli.measure_output import refuse_unknown
    from vol3d.errors import ConfigError

    if args.weights and not args.name:
        raise ConfigError("weights belong to one expert", hint="Name it: vol3d experts check NAME --weights FILE")
    if args.name:
        refuse_unknown([args.name], expert_names(), what="expert")
        return (args.name,)
    return expert_names()


def _listed(name: str, *, check: bool, weights: str | None) -> dict[str, Any]:
    """One expert: its card, or why there is none."""
    from experts3d.cards import NEED_ARGUMENTS, load_expert
    from vol3d.errors import Vol3dError

    if name in NEED_ARGUMENTS:
        return {"name": name, "status": "needs arguments", "detail": NEED_ARGUMENTS[name]}
    try:
        expert = load_expert(name, **({"weights": weights} if weights else {}))
    except Vol3dError as error:
        return {"name": name, "status": "not available", "detail": str(error)}
    facts = {"name": name, "status": "ready", "detail": expert.card.summary, "card": expert.card.model_dump(mode="json")}
    return facts | _checked(expert) if check else facts


def _checked(expert: "Expert") -> dict[str, Any]:
    """Run an expert on a small phantom of its modality: the label map must lie on the phantom's grid."""
    import time

    from experts3d.worker import WorkerExpert
    from vol3d.volume.phantom import phantom_ct, phantom_mr

    make = phantom_ct if "CT" in expert.card.modalities else phantom_mr
    phantom = make(0, shape_zyx=(48, 64, 64), spacing_mm=(6.0, 6.0, 6.0))
    start = time.perf_counter()
    try:
        labels = expert.segment(phantom.volume, ())
    except Exception as error:  # noqa: BLE001 - the check is there to show whatever an expert raises
        return {"status": "failed", "detail": f"{type(error).__name__}: {error}"}
    if labels.array.shape != phantom.volume.shape:
        return {"status": "failed", "detail": f"its labels lie on another grid: {labels.array.shape}"}
    detail = f"{int((labels.array > 0).sum())} voxels labelled in {time.perf_counter() - start:.1f} s"
    if isinstance(expert, WorkerExpert):
        detail += f", its process held at most {expert.peak_memory_gb:.2f} GB"
        expert.close()
    return {"status": "works", "detail": detail}


def _print(experts: list[dict[str, Any]], *, checked: bool) -> None:
    from vol3d.cli.console import print_table

    rows = []
    for item in experts:
        card = item.get("card")
        facts = ("/".join(card["modalities"]), len(card["targets"]), card["licence"]) if card else ("", "", "")
        rows.append((item["name"], item["status"], *facts, item["detail"]))
    print_table(("expert", "status", "reads", "targets", "licence", "result" if checked else "what it does, or misses"), rows)
