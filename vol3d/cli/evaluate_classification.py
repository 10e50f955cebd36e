"""`vol3d evaluate classification`: AUROC and friends of label probabilities, thresholds from validation data only."""

import argparse
from typing import TYPE_CHECKING

from vol3d.cli.evaluate_output import add_output_arguments, show

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "score label probabilities: AUROC, average precision, calibration, F1 at thresholds chosen on validation data"
EXAMPLE = "vol3d evaluate classification --truth labels.csv --probabilities test.csv --validation val.csv --validation-truth val_labels.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--truth", required=True, metavar="CSV", help="an id and one 0/1 column per label")
    parser.add_argument("--probabilities", required=True, metavar="FILE", help="CSV with the same columns in 0..1, or a VLM3D submission (.json)")
    parser.add_argument("--validation", metavar="FILE", help="probabilities on validation scans: thresholds are chosen there (else 0.5)")
    parser.add_argument("--validation-truth", metavar="CSV", help="labels of the validation scans")
    parser.add_argument("--scorer", choices=("vol3d", "vlm3d", "ct_clip"), default="vol3d", help="a published scorer's own rules, defects included")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score and show."""
    import numpy as np

    from vol3d.errors import ConfigError
    from vol3d.evaluation.classification import classification_rows, thresholds_from_validation
    from vol3d.evaluation.label_files import read_label_table
    from vol3d.evaluation.results import Provenance, ResultFile, hashes
    from vol3d.evaluation.vqa_table import patient_of

    truth = read_label_table(args.truth)
    probability = read_label_table(args.probabilities).aligned(truth)
    if bool(args.validation) != bool(args.validation_truth):
        raise ConfigError("thresholds need both validation files", expected="--validation and --validation-truth", found="one of them")
    thresholds, source = np.full(len(truth.names), 0.5), "0.5"
    if args.validation:
        known = read_label_table(args.validation_truth).select(truth.names)
        thresholds, source = thresholds_from_validation(known.values, read_label_table(args.validation).aligned(known)), "validation"
    if args.scorer == "vol3d":
        patients = [patient_of(name) for name in truth.ids]
        rows = classification_rows(
            truth.values.astype(int), probability, truth.names, patients, thresholds=thresholds, num_resamples=args.resamples, seed=args.seed
        )
    else:
        rows = _published(args.scorer, truth.values.astype(int), probability, truth.names)
    settings = {"thresholds": dict(zip(truth.names, thresholds.tolist(), strict=True)), "thresholds_from": source, "resamples": args.resamples}
    data = hashes([args.truth, args.probabilities, args.validation, args.validation_truth])
    scorer = "vol3d-classification" if args.scorer == "vol3d" else f"{args.scorer} (compatibility)"
    provenance = Provenance(scorer=scorer, model=args.model, data=data, settings=settings)
    return show(ResultFile(task="classification", rows=tuple(rows), provenance=provenance), args)


def _published(scorer: str, truth: "np.ndarray", probability: "np.ndarray", names: tuple[str, ...]) -> list:
    import numpy as np

    from vol3d.evaluation.compat import ct_clip, vlm3d
    from vol3d.evaluation.results import plain_row

    if scorer == "vlm3d":
        by_id = {str(i): row for i, row in enumerate(truth)}
        scores = vlm3d.label_scores(
            by_id, {str(i): row for i, row in enumerate((probability >= 0.5).astype(int))}, {str(i): row for i, row in enumerate(probability)}
        )
        return [plain_row(name, value, len(truth)) for name, value in scores.items()]
    per_label = [ct_clip.label_scores(truth[:, i], probability[:, i]) for i in range(len(names)) if 0 < truth[:, i].sum() < len(truth)]
    return [plain_row(key, float(np.mean([s[key] for s in per_label])), len(truth)) for key in per_label[0]]
