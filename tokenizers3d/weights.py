"""Weights on disk: safetensors with the config, the provenance and a content hash; written whole or not at all."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tokenizers3d.errors import CheckpointError


def content_hash(tensors: Mapping[str, Tensor], *, dtype: torch.dtype | None = None) -> str:
    """SHA-256 over names, shapes and values in name order; with `dtype`, over the values rounded to it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu", dtype=dtype).contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON metadata by way of a temporary file, so that a crash leaves the old file or none."""
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    texts = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()} | {"sha256": json.dumps(content_hash(tensors))}
    write_bytes(path, save(tensors, metadata=texts))


def write_bytes(path: Path, content: bytes) -> None:
    """Temporary file beside the target, flushed to disk, then renamed over it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp gives the owner alone the right to read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file; refused when truncated, not safetensors, or unlike their stored hash."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such weights", path=path, hint="Give a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = {key: _parse(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError("not readable as safetensors", path=path, found=str(error).splitlines()[0], hint="Truncated? Copy it again.") from error
    stored = metadata.get("sha256")
    if stored is not None and stored != content_hash(tensors):
        raise CheckpointError(
            "the tensors are not those that were saved", path=path, expected=f"sha256 {stored[:12]}", found="another", hint="Copy the file again."
        )
    return tensors, metadata


def _parse(text: str) -> Any:
    """Metadata as JSON where it is JSON; other programs write plain text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], *, path: str | Path | None = None) -> None:
    """Every tensor used once, every parameter given, all shapes equal; else a refusal that names the first few."""
    own = module.state_dict()
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = [f"{n} {tuple(tensors[n].shape)} for {tuple(own[n].shape)}" for n in sorted(set(own) & set(tensors)) if own[n].shape != tensors[n].shape]
    for problem, names in (("missing keys", missing), ("unknown keys", extra), ("misshapen tensors", wrong)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(
                f"{problem} in the weights", path=path, found=", ".join(names[:3]) + more, hint="Is this the config they were made with?"
            )
    module.load_state_dict(dict(tensors), strict=True)
