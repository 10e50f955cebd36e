"""What a vision-language model is made of, as plain values that ride with its weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

from torch import nn

from vol3d.errors import ConfigError
from vol3d.vlm.base_weights import SMOLLM2
from vol3d.vlm.fuse import KINDS

_LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class ProjectorSpec:
    """A projector by the import path of its class, and its arguments (without `width`, which the language model decides)."""

    class_path: str
    init_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoraSpec:
    """Low-rank adapters (https://arxiv.org/abs/2106.09685) on the named linear layers; rank 0 leaves the language model alone."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = _LORA_TARGETS


@dataclass(frozen=True, kw_only=True)
class VisionLanguageConfig:
    """A base language model, adapters on it, and one projector for each kind of visual (`volume`, `slice`, `overlay`).

    `visual_tokenizer_id` names the encoder whose tokens the projectors were trained on.

    >>> spec = ProjectorSpec(class_path="vol3d.vlm.projectors.PoolProjector", init_args={"in_channels": 18})
    >>> config = VisionLanguageConfig(projectors={"volume": spec})
    >>> VisionLanguageConfig.from_dict(config.to_dict()) == config
    True
    """

    projectors: Mapping[str, ProjectorSpec]
    language: str = SMOLLM2
    lora: LoraSpec = field(default_factory=LoraSpec)
    visual_tokenizer_id: str = ""

    def __post_init__(self) -> None:
        unknown = set(self.projectors) - set(KINDS)
        if unknown or not self.projectors:
            raise ConfigError("projectors for unknown visuals", expected=f"some of {', '.join(KINDS)}", found=", ".join(sorted(unknown)) or "none")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "VisionLanguageConfig":
        """Back from plain values. Raises ConfigError for keys that do not exist."""
        try:
            lora = dict(values["lora"])
            projectors = {kind: ProjectorSpec(**spec) for kind, spec in values["projectors"].items()}
            rest = {k: v for k, v in values.items() if k not in ("lora", "projectors")}
            return cls(projectors=projectors, lora=LoraSpec(**{**lora, "targets": tuple(lora["targets"])}), **rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError("not a vision-language model's config", found=str(error)) from error


def build_projector(spec: ProjectorSpec, *, width: int, trusted: tuple[str, ...] = ("vol3d",)) -> nn.Module:
    """Make a projector. Only classes of trusted packages are imported: a weights file must not choose what code runs.

    Raises ConfigError for a class that is not trusted, does not exist, or does not take the arguments.
    """
    module, _, name = spec.class_path.rpartition(".")
    if module.split(".")[0] not in trusted:
        hint = "Name its package in `trusted` if the file comes from you."
        raise ConfigError("a projector from a package that is not trusted", expected=", ".join(trusted), found=spec.class_path, hint=hint)
    try:
        made = getattr(import_module(module), name)(width=width, **spec.init_args)
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError("a projector cannot be made", found=f"{spec.class_path}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ConfigError("not a projector", expected="a torch module", found=spec.class_path)
    return made
