"""What `vol3d segment` may tell an expert beside the scan: masks, weights, further sequences, points."""

import argparse
from typing import Any

# Option -> the expert that takes it; all others refuse it.
_BELONGS_TO = {
    "--mask": "supplied", "--labels": "supplied", "--sequence": "brats_mri", "--brain-mask": "brats_mri", "--point": "vista3d", "--not-point": "vista3d",
}  # fmt: skip


def add_expert_options(parser: argparse.ArgumentParser) -> None:
    """The options, each with the expert that it belongs to."""
    add = parser.add_argument
    add("--mask", metavar="FILE", help="for supplied: a label file, or a folder of STRUCTURE.nii.gz")
    add("--labels", metavar="TABLE", help="for supplied: names of the mask's labels: totalseg, totalseg_mr, 1=NAME,..., or a .json or .csv file")
    add("--resample-mask", action="store_true", help="for supplied and brats_mri: bring files of another grid to the scan's instead of refusing them")
    add("--weights", metavar="FILE", help="for experts with weights: a file of weights instead of the one in the cache folder")
    add("--sequence", action="append", default=[], metavar="NAME=FILE", help="for brats_mri: another MR sequence: t1c, t1, t2 or flair")
    add("--brain-mask", metavar="FILE", help="for brats_mri: a brain mask; what lies outside becomes 0")
    add("--point", action="append", default=[], metavar="NAME:X,Y,Z", help="for vista3d: a point on a structure, RAS mm")
    add("--not-point", action="append", default=[], metavar="NAME:X,Y,Z", help="for vista3d: a point that does not belong to a structure")
    add("--points-in", choices=("mm", "voxel"), default="mm", help="points are RAS mm as X,Y,Z (default) or voxel indices as Z,Y,X")


def expert_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What `load_expert` gets.

    Raises:
        ConfigError: an option that does not belong to the expert, or that cannot be read.

    """
    from vol3d.errors import ConfigError

    for option, owner in _BELONGS_TO.items():
        if getattr(args, option[2:].replace("-", "_")) and args.expert != owner:
            raise ConfigError(f"{option} belongs to --expert {owner}, not to {args.expert}")
    if args.resample_mask and args.expert not in ("supplied", "brats_mri"):
        raise ConfigError(f"--resample-mask belongs to --expert supplied or brats_mri, not to {args.expert}")
    weights = {"weights": args.weights} if args.weights else {}
    if args.expert == "supplied":
        if not args.mask:
            raise ConfigError("the expert 'supplied' needs the masks that it hands out", hint="Add --mask FILE.")
        return {"source": args.mask, "labels": args.labels, "resample": args.resample_mask, "accept": args.accept} | weights
    if args.expert == "brats_mri":
        return _sequences(args) | weights
    return ({"points": _points(args)} if args.expert == "vista3d" else {}) | weights


def clicked_structures(args: argparse.Namespace) -> tuple[str, ...]:
    """The structures that points were given for: what is asked where no targets are."""
    return tuple(dict.fromkeys(text.partition(":")[0].strip() for text in [*args.point, *args.not_point]))


def _points(args: argparse.Namespace) -> list[Any]:
    from experts3d.points import parse_point

    given = [(text, True) for text in args.point] + [(text, False) for text in args.not_point]
    return [parse_point(text, positive=positive, space=args.points_in) for text, positive in given]


def _sequences(args: argparse.Namespace) -> dict[str, Any]:
    from vol3d.errors import ConfigError
    from vol3d.volume.read import read_mask, read_volume

    sequences = {}
    for text in args.sequence:
        name, separator, path = text.partition("=")
        if not separator or name in sequences:
            raise ConfigError("a sequence cannot be read", expected="NAME=FILE, each name once", found=text)
        sequences[name] = read_volume(path, modality="MR", accept=args.accept)
    brain = {"brain": read_mask(args.brain_mask)} if args.brain_mask else {}
    return {"sequences": sequences, "resample": args.resample_mask} | brain
