"""What a tokenizer is made of, as plain values that ride with its weights."""

import math
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from tokenizers3d.errors import ConfigError
from tokenizers3d.quantizers import FSQ, LFQ, Identity
from tokenizers3d.types import Mode

QUANTIZERS: dict[str, type[LFQ | FSQ | Identity]] = {"lfq": LFQ, "fsq": FSQ, "identity": Identity}


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Sizes of a tokenizer; the defaults are BTB3D's 8x8x8.

    Args:
        name: goes into the id of its tokens.
        filters, channel_multipliers, num_res_blocks: widths and depth of the encoder and decoder.
        depth_downsample: for each halving of rows and columns, whether slices are halved too; the wavelet halves all three once more.
        num_groups: of the per-slice normalisation; divides every width.
        quantizer: `lfq`, `fsq` or `identity`, and its arguments.
        modes: how the volumes were encoded that the decoder was trained on; empty while untrained. Decoding anything else is refused.

    >>> TokenizerConfig(name="a").stride_vox
    (8, 8, 8)
    """

    name: str
    filters: int = 96
    channel_multipliers: tuple[int, ...] = (1, 2, 4)
    depth_downsample: tuple[bool, ...] = (True, True)
    num_res_blocks: int = 4
    num_groups: int = 32
    quantizer: str = "lfq"
    quantizer_args: dict[str, Any] = field(default_factory=dict)
    modes: tuple[Mode, ...] = ()

    def __post_init__(self) -> None:
        if len(self.depth_downsample) != len(self.channel_multipliers) - 1:
            raise ConfigError("one halving between two stages", expected=len(self.channel_multipliers) - 1, found=len(self.depth_downsample))
        if self.quantizer not in QUANTIZERS:
            raise ConfigError("unknown quantizer", expected=" or ".join(QUANTIZERS), found=self.quantizer)
        if self.num_res_blocks < 1 or any(self.filters * m % self.num_groups for m in self.channel_multipliers):
            raise ConfigError(
                "num_res_blocks >= 1, and num_groups must divide every width", found=(self.num_res_blocks, self.filters, self.num_groups)
            )
        if set(self.modes) - {"stream", "windowed"}:
            raise ConfigError("unknown mode", expected="stream or windowed", found=self.modes)

    @property
    def stride_vox(self) -> tuple[int, int, int]:
        """Voxels a token along z y x."""
        in_plane = 2 ** len(self.channel_multipliers)
        return 2 * math.prod(2 if d else 1 for d in self.depth_downsample), in_plane, in_plane

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TokenizerConfig":
        """From plain values (YAML, JSON); unknown names are refused."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise ConfigError("unknown tokenizer settings", expected=", ".join(cls.__dataclass_fields__), found=", ".join(unknown))
        try:
            tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**tuples)
        except TypeError as error:
            raise ConfigError("tokenizer settings of a wrong kind", found=str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for metadata."""
        return asdict(self)

    def networks(self) -> dict[str, Any]:
        """The arguments that the encoder and the decoder share."""
        names = ("filters", "channel_multipliers", "depth_downsample", "num_res_blocks", "num_groups")
        return {name: getattr(self, name) for name in names}


def read_recipe(name_or_path: str | Path) -> dict[str, Any]:
    """A recipe as plain values: a YAML file, or a name in `configs/tokenizer`."""
    path = Path(name_or_path)
    source = path if path.suffix in (".yaml", ".yml") else resources.files("configs") / "tokenizer" / f"{name_or_path}.yaml"
    if not source.is_file():
        known = sorted(p.name.removesuffix(".yaml") for p in (resources.files("configs") / "tokenizer").iterdir() if p.name.endswith(".yaml"))
        raise ConfigError("no such tokenizer recipe", expected=f"a YAML file or one of {', '.join(known)}", found=name_or_path)
    recipe = yaml.safe_load(source.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict) or "model" not in recipe:
        raise ConfigError("a tokenizer recipe has a section `model`", path=str(source))
    return recipe


def read_config(name_or_path: str | Path) -> TokenizerConfig:
    """The model part of a recipe.

    >>> read_config("small_8x8x8").stride_vox
    (8, 8, 8)
    """
    return TokenizerConfig.from_dict(read_recipe(name_or_path)["model"])
