"""What `encode`, `decode` and `evaluate tokenizer` share: which tokenizer, and a scan as the tensor that it takes."""

import argparse
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from tokenizers3d.tokenizer import Tokenizer
    from vol3d.volume.intensity import Recipe
    from vol3d.volume.volume import Volume

SHIPPED = "small_8x8x8"


def add_tokenizer_options(parser: argparse.ArgumentParser) -> None:
    """`--tokenizer`, `--btb3d`, `--dtype`, `--device`."""
    parser.add_argument("--tokenizer", default=SHIPPED, metavar="NAME|FILE", help=f"weights, or {SHIPPED}, which ship with vol3d (default)")
    parser.add_argument("--btb3d", action="store_true", help="--tokenizer is a published BTB3D checkpoint (.safetensors or .ckpt)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="precision of the networks (default: float32)")
    parser.add_argument("--device", default="cpu", help="where the networks run (default: cpu)")


def load_tokenizer(args: argparse.Namespace) -> "Tokenizer":
    """The tokenizer of a command line."""
    import torch

    from tokenizers3d.btb3d import load_btb3d
    from tokenizers3d.tokenizer import Tokenizer

    shipped = Path(str(files("vol3d"))) / "assets" / f"tokenizer_{args.tokenizer}.safetensors"
    path = shipped if args.tokenizer == SHIPPED else Path(args.tokenizer)
    tokenizer = load_btb3d(path) if args.btb3d else Tokenizer.load(path)
    return tokenizer.to(args.device, getattr(torch, args.dtype))


def normalised(volume: "Volume", recipe: str | None) -> "tuple[Tensor, Recipe]":
    """Voxels `1 1 z y x` in [-1, 1], and the recipe with its bounds, so that decoding can go back."""
    import torch

    from vol3d.volume.intensity import fit_recipe, normalize, recipe_for

    array = volume.numpy()
    fitted = fit_recipe(recipe or recipe_for(volume), array)
    return torch.from_numpy(normalize(array, fitted))[None, None], fitted
