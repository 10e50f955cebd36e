"""`vol3d prep SOURCE ROOT STORE`: a corpus as downloaded -> a store that training reads; and what can be done with a store."""

import argparse
from pathlib import Path

SUMMARY = "prepare a corpus: prep SOURCE ROOT STORE; then verify, page, export, encode or instruct its store; deidentify DICOM; list what is known"
EXAMPLE = "vol3d prep ct_rate /data/CT-RATE /data/store --workers 8"

_VERBS = ("list", "verify", "page", "export", "encode", "instruct", "deidentify")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", help="a corpus (see 'vol3d prep list'), or one of: " + ", ".join(_VERBS))
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="ROOT STORE for a corpus; STORE, STORE OUT or IN OUT for the rest")
    parser.add_argument("--tokenizer", help="encode: weights; default: those that ship with vol3d")
    parser.add_argument("--recipe", help="encode: intensity recipe; default: by modality")
    parser.add_argument("--spacing", metavar="Z,Y,X", help="encode: resample to this voxel size in mm first")
    parser.add_argument("--seed", type=int, default=0, help="instruct: decides wordings and which findings are asked for")
    parser.add_argument("--workers", type=int, default=0, help="processes of a local dask cluster; 0 works in this process (default)")
    parser.add_argument("--cluster", help="tcp://HOST:PORT of a dask scheduler, or slurm")
    parser.add_argument("--limit", type=int, help="only the first so many series")
    parser.add_argument("--split", help="export, encode, instruct: only this split")
    parser.add_argument("--licence", default="", help="licence that goes into every row, for folders of your own")
    parser.add_argument("--accept", action="append", default=[], metavar="CODE", help="take in what is refused by this code (mirrored, not_hu, ...)")
    parser.add_argument(
        "--nan-policy", choices=("refuse", "fill"), default="refuse", help="NaN voxels: refuse (default) or fill with the darkest value"
    )
    parser.add_argument(
        "--pseudonyms", action="store_true", help="keys, studies and patients become hashes, so that no file name goes into the store"
    )
    parser.add_argument("--salt-file", type=Path, help="deidentify: a file that holds your secret")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Prepare, or do what the verb says; exit 1 where a store does not verify, or where series were refused."""
    if args.source in _VERBS:
        verbs = {"list": _list, "verify": _verify, "page": _page, "export": _export, "encode": _encode, "instruct": _instruct}
        return (verbs | {"deidentify": _deidentify})[args.source](args)
    return _prepare(args)


def _prepare(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from data_prep.convert import Options
    from data_prep.corpus_page import write_page
    from data_prep.preparation import prepare
    from vol3d.cli.console import print_json, print_table, progress

    root, store = _take(args, 2, "ROOT STORE")
    options = Options(licence=args.licence, accept=tuple(args.accept), nan_policy=args.nan_policy, pseudonyms=args.pseudonyms)
    with progress("Preparing") as advance:
        summary = prepare(args.source, root, store, workers=args.workers, cluster=args.cluster, options=options, limit=args.limit, progress=advance)
    page = write_page(store)
    if args.json:
        print_json(asdict(summary) | {"page": str(page)})
    else:
        rows = [("found", summary.found), ("stored", summary.stored), *((f"refused: {name}", n) for name, n in summary.quarantined.items())]
        print_table((summary.source, "series"), rows, title=f"{summary.store} (page: {page})")
    return 0


def _list(args: argparse.Namespace) -> int:
    from data_prep.sources import SOURCES, find_source
    from vol3d.cli.console import print_json, print_table

    sources = [find_source(name) for name in SOURCES]
    if args.json:
        print_json([{"name": s.name, "title": s.title, "licence": s.licence, "citation": s.citation, "expected": dict(s.expected)} for s in sources])
    else:
        print_table(("name", "corpus", "licence", "series"), [(s.name, s.title, s.licence, s.expected.get("series")) for s in sources])
    return 0


def _verify(args: argparse.Namespace) -> int:
    from data_prep.verify import verify
    from vol3d.cli.console import print_json, print_table

    (store,) = _take(args, 1, "STORE")
    problems = verify(store, workers=args.workers, cluster=args.cluster)
    if args.json:
        print_json({"store": str(store), "problems": [{"key": p.key, "problem": p.problem} for p in problems]})
    elif problems:
        print_table(("series", "problem"), [(p.key, p.problem) for p in problems])
    else:
        print(f"{store}: every voxel is as it was written")
    return 1 if problems else 0


def _page(args: argparse.Namespace) -> int:
    from data_prep.corpus_page import write_page

    (store,) = _take(args, 1, "STORE")
    print(write_page(store))
    return 0


def _export(args: argparse.Namespace) -> int:
    from data_prep.export import export_webdataset
    from vol3d.cli.console import print_json

    store, out = _take(args, 2, "STORE OUT")
    shards = export_webdataset(store, out, split=args.split)
    if args.json:
        print_json({"shards": [str(path) for path in shards]})
    else:
        print("\n".join(str(path) for path in shards))
    return 0


def _encode(args: argparse.Namespace) -> int:
    from importlib.resources import files

    from data_prep.encode import EncodeOptions, encode_store
    from tokenizers3d.tokenizer import Tokenizer
    from vol3d.cli.console import print_json, progress
    from vol3d.errors import ConfigError

    (store,) = _take(args, 1, "STORE")
    try:
        spacing = tuple(float(s) for s in args.spacing.split(",")) if args.spacing else None
    except ValueError as error:
        raise ConfigError("--spacing takes three numbers", expected="Z,Y,X", found=args.spacing) from error
    if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
        raise ConfigError("--spacing takes three positive numbers", expected="Z,Y,X", found=args.spacing)
    shipped = Path(str(files("vol3d"))) / "assets" / "tokenizer_small_8x8x8.safetensors"
    tokenizer = Tokenizer.load(args.tokenizer or shipped).eval()
    with progress("Encoding") as advance:
        done = encode_store(store, tokenizer, EncodeOptions(args.recipe, spacing), split=args.split, progress=advance)  # type: ignore[arg-type]
    if args.json:
        print_json({"key": done.key, "made": done.made, "kept": done.kept, "failed": done.failed})
    else:
        print(f"tokens/{done.key}: {done.made} encoded, {done.kept} were there, {len(done.failed)} failed")
        for name, reason in done.failed.items():
            print(f"  {name}: {reason}")
    return 1 if done.failed else 0


def _instruct(args: argparse.Namespace) -> int:
    from data_prep.instructions import instruct, write_jsonl
    from vol3d.cli.console import print_json
    from vol3d.volume.manifest import read_manifest

    store, out = _take(args, 2, "STORE OUT.jsonl")
    counts = write_jsonl(instruct(read_manifest(store, split=args.split), seed=args.seed, source=store.name), out)
    if args.json:
        print_json({"out": str(out), "counts": dict(counts)})
    else:
        print(f"{out}: " + ", ".join(f"{n} {stage}" for stage, n in counts.items()))
    return 0


def _deidentify(args: argparse.Namespace) -> int:
    from data_prep.deidentify import deidentify
    from vol3d.cli.console import print_json
    from vol3d.errors import ConfigError

    folder, out = _take(args, 2, "IN OUT")
    if args.salt_file is None:
        raise ConfigError("deidentify needs --salt-file: a file with a secret of at least 8 characters")
    done = deidentify(folder, out, salt=args.salt_file.read_text(encoding="utf-8").strip())
    if args.json:
        print_json({"written": done.written, "refused": dict(done.refused), "dropped": dict(done.dropped)})
    else:
        print(f"{done.written} files written, {len(done.refused)} refused")
        for name, reason in done.refused.items():
            print(f"  {name}: {reason}")
    return 1 if done.refused else 0


def _take(args: argparse.Namespace, count: int, names: str) -> list[Path]:
    from vol3d.errors import ConfigError

    if len(args.paths) != count:
        raise ConfigError(f"'{args.source}' takes {names}", found=f"{len(args.paths)} paths")
    return list(args.paths)
