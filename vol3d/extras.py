"""Optional dependencies: imported when they are needed, and missed with the command that brings them."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from vol3d.errors import MissingExtraError

# What each extra of pyproject.toml is for, and a module that shows whether it is there.
EXTRAS: dict[str, tuple[str, str]] = {
    "cluster": ("distributed", "prepare corpora on several processes or machines"),
    "dicom": ("pydicom", "read DICOM series, write segmentations and structured reports"),
    "fast": ("isal", "read .nii.gz about twice as fast"),
    "flash": ("flash_attn", "use flash attention (CUDA)"),
    "meteor": ("pycocoevalcap", "score reports by METEOR 1.5 (with a Java runtime)"),
    "metrics": ("sacrebleu", "score reports by sacrebleu, rouge-score and nltk's METEOR"),
    "metrics-full": ("radeval", "score reports by RadGraph, RaTEScore, GREEN and RadBERT"),
    "mri": ("deepbet", "find the brain on head MR"),
    "test": ("pytest", "run the tests"),
    "dev": ("ruff", "run make check"),
}


def pip_command(extra: str) -> str:
    """The command that brings an extra.

    >>> pip_command("dicom")
    "pip install 'vol3d[dicom]'"
    """
    return f"pip install 'vol3d[{extra}]'"


def installed(extra: str) -> bool:
    """Whether the module that an extra is known by can be imported."""
    return find_spec(EXTRAS[extra][0]) is not None


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, or raise MissingExtraError with the pip command that brings it.

    >>> require("json", extra="dicom").__name__
    'json'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # A module that is there but misses one of its own parts is another problem, and must not be hidden.
        if error.name != module.split(".")[0]:
            raise
        raise MissingExtraError(f"{module} is not installed", hint=f"Run: {pip_command(extra)}") from error
