"""`vol3d evaluate page`: leaderboard, plots and worst cases of result files, as one HTML page."""

import argparse

SUMMARY = "one page from result files: leaderboard, plots per subtype and size, calibration, win/tie/loss, worst cases"
EXAMPLE = "vol3d evaluate page model.json base.json --scans scans/ --output page.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", nargs="+", metavar="RESULT", help="result files of one task; the first is the model, the second its base")
    parser.add_argument("--output", required=True, metavar="FILE", help="HTML file to write")
    parser.add_argument("--metric", default="score", help="the leaderboard is ranked by it (default score)")
    parser.add_argument("--worst", type=int, default=20, metavar="N", help="worst answers to list (default 20)")
    parser.add_argument("--scans", metavar="DIR", help="folder of IMAGE_ID.nii.gz: adds a slice to each worst case")
    parser.add_argument("--json", action="store_true", help="print the leaderboard as one JSON document")


def run(args: argparse.Namespace) -> int:
    """Read, draw, write."""
    from vol3d.cli.console import print_json, print_table
    from vol3d.errors import ConfigError
    from vol3d.evaluation.leaderboard import leaderboard_rows, page
    from vol3d.evaluation.results import read_result
    from vol3d.volume.atomic import atomic_path

    results = [read_result(path) for path in args.results]
    if len({r.task for r in results}) > 1:
        raise ConfigError("results of different tasks", expected="one task", found=", ".join(r.task for r in results))
    board = leaderboard_rows(results, args.metric)
    html = page(results, metric=args.metric, worst=args.worst, pictures=_pictures(args, results[0]))
    with atomic_path(args.output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    if args.json:
        print_json({"page": args.output, "leaderboard": board})
    else:
        print_table(
            ("rank", "model", args.metric, "n"), [(r["rank"], r["model"], round(r["value"], 3), r["n"]) for r in board], title=f"page: {args.output}"
        )
    return 0


def _pictures(args: argparse.Namespace, result: object) -> dict[str, str]:
    """A middle axial slice of each worst case's scan, as a data URI."""
    import base64
    import io
    from pathlib import Path

    from PIL import Image

    from vol3d.volume.intensity import recipe_for, to_uint8
    from vol3d.volume.read import read_volume

    if not args.scans:
        return {}
    items = sorted((i for i in result.items if "score" in i), key=lambda i: i["score"])[: args.worst]  # type: ignore[attr-defined]
    found = {}
    for name in {str(i["image_id"]) for i in items}:
        path = next((p for p in (Path(args.scans) / f"{name}{end}" for end in (".nii.gz", ".nii", "", "/ct.nii.gz")) if p.is_file()), None)
        if path is None:
            continue
        volume = read_volume(path).canonical()
        plane = to_uint8(volume.array[volume.shape[0] // 2], recipe_for(volume))[::-1, ::-1]
        buffer = io.BytesIO()
        Image.fromarray(plane).resize((256, round(256 * plane.shape[0] / plane.shape[1]))).save(buffer, "PNG")
        found[name] = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return found
