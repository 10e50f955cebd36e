"""Flags that `ask` and `report` share: how the scan is read, which experts look at it, which model writes."""

import argparse
from typing import TYPE_CHECKING

from vol3d.cli.read_options import add_read_options

if TYPE_CHECKING:
    from vol3d.contracts import EvidenceSource
    from vol3d.inference.chat_loop import ChatModel
    from vol3d.vlm.model import VisionLanguageModel
    from vol3d.volume.volume import Volume


def add_scan_options(parser: argparse.ArgumentParser) -> None:
    """`--mask`, `--labels`, `--resample-mask`, `--model`, and the flags of reading."""
    parser.add_argument("--mask", metavar="FILE", help="your own masks: a label file, or a folder of STRUCTURE.nii.gz; they join the experts")
    parser.add_argument("--labels", metavar="TABLE", help="names of the mask's labels: totalseg, totalseg_mr, 1=NAME,2=NAME, or a .json or .csv file")
    parser.add_argument("--resample-mask", action="store_true", help="bring a mask of another grid to the scan's instead of refusing it")
    parser.add_argument(
        "--model",
        default="demo",
        metavar="NAME",
        help="model name or folder (default: demo, which ships with vol3d), or openai:URL#MODEL: a chat model behind an OpenAI-compatible "
        "endpoint, whose key is read from OPENAI_API_KEY; pictures of the scan are sent there",
    )
    parser.add_argument(
        "--slices", type=int, default=6, metavar="N", help="slices that a model behind an endpoint is shown; 0: text only (default: 6)"
    )
    add_read_options(parser)


def model_from(args: argparse.Namespace) -> "VisionLanguageModel | ChatModel":
    """The model that `--model` names."""
    from vol3d.inference.chat_endpoint import PREFIX
    from vol3d.inference.chat_loop import ChatModel
    from vol3d.vlm.model import load_model

    return ChatModel.from_spec(args.model, slices=args.slices) if args.model.startswith(PREFIX) else load_model(args.model)


def evidence_source(args: argparse.Namespace, volume: "Volume", *, pictures_per_plane: int = 1) -> "EvidenceSource":
    """All experts that are ready on this machine; the user's masks come first where there are some.

    Raises GeometryError where the masks do not fit the scan: a panel would only note that, but here the user asked for them.
    """
    from experts3d.cache import LabelCache
    from experts3d.cards import load_expert, ready_experts
    from experts3d.panel import Panel

    own = [load_expert("supplied", source=args.mask, labels=args.labels, resample=args.resample_mask)] if args.mask else []
    for expert in own:
        expert.segment(volume, ())
    return Panel([*own, *ready_experts()], cache=LabelCache(), pictures_per_plane=pictures_per_plane)
