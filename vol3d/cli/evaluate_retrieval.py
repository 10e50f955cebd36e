"""`vol3d evaluate retrieval`: find the report of a scan, the scan of a report, or similar scans, from saved features."""

import argparse
from pathlib import Path

from vol3d.cli.evaluate_output import add_output_arguments, show

SUMMARY = "retrieval from saved features: recall@k with chance, MAP, median rank, pools of n, overlap of labels"
EXAMPLE = "vol3d evaluate retrieval --queries reports.npz --gallery scans.npz --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--queries", required=True, metavar="NPZ", help="arrays `features` (n d) and `ids` (n)")
    parser.add_argument("--gallery", metavar="NPZ", help="the same; without it scans are looked for among the queries, never finding themselves")
    parser.add_argument("--labels", metavar="CSV", help="labels by id: adds the overlap of labels with the nearest")
    parser.add_argument("--ks", type=int, nargs="+", default=[1, 5, 10, 50, 100], metavar="K", help="cut-offs (default 1 5 10 50 100)")
    parser.add_argument("--pools", type=int, nargs="*", default=[32, 64, 128], metavar="N", help="sizes of random pools (default 32 64 128)")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score and show."""
    import numpy as np

    from vol3d.evaluation.label_files import read_label_table
    from vol3d.evaluation.results import Provenance, ResultFile, hashes, row
    from vol3d.evaluation.retrieval import cosine, label_overlap_at, relevance, retrieval_rows
    from vol3d.evaluation.statistics import cluster_bootstrap
    from vol3d.evaluation.vqa_table import patient_of

    features, ids = load_features(args.queries)
    others, other_ids = load_features(args.gallery) if args.gallery else (features, ids)
    similarity = cosine(features, others)
    exclude = None if args.gallery else np.eye(len(ids), dtype=bool)
    groups, other_groups = ([_scan_of(name) for name in names] for names in (ids, other_ids))
    patients = [patient_of(name) for name in ids]
    rows = retrieval_rows(
        similarity,
        relevance(groups, other_groups),
        patients,
        ks=args.ks,
        pools=args.pools,
        exclude=exclude,
        num_resamples=args.resamples,
        seed=args.seed,
    )
    if args.labels:
        table = read_label_table(args.labels)
        known = dict(zip(table.ids, table.values.astype(int), strict=True))
        own, other = (np.stack([known[name] for name in names]) for names in (ids, other_ids))
        masked = similarity if exclude is None else np.where(exclude, -np.inf, similarity)
        for k in (1, 5, 10):
            overlap = label_overlap_at(masked, own, other, k)
            rows.append(row(f"label_overlap@{k}", cluster_bootstrap(overlap, patients, num_resamples=args.resamples)))
    provenance = Provenance(scorer="vol3d-retrieval", model=args.model, data=hashes([args.queries, args.gallery, args.labels]))
    return show(ResultFile(task="retrieval", rows=tuple(rows), provenance=provenance), args)


def _scan_of(name: str) -> str:
    """CT-RATE names without the reconstruction: two reconstructions of a scan share their report."""
    import re

    match = re.match(r"((?:train|valid)_\d+_[a-z]+)_\d+", name)
    return match.group(1) if match else name


def load_features(path: str) -> tuple:
    """Features `n d` and the scans that they belong to."""
    from vol3d.errors import ConfigError
    from vol3d.evaluation.arrays import load_array
    from vol3d.evaluation.report_files import study_id

    features, ids = load_array(path, "features"), load_array(path, "ids")
    if features.ndim != 2 or len(features) != len(ids):
        raise ConfigError("features and ids do not match", path=Path(path), expected="features n d, ids n", found=f"{features.shape}, {ids.shape}")
    return features, [study_id(str(name)) for name in ids]
