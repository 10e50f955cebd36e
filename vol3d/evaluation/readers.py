"""Questions and predictions out of other projects' files: DeepTumorVQA results, M3D and RadFM CSVs, CT-CHAT's JSON, VLM3D submissions.

Each reader gives `(items, predictions)` for `vqa_table.score_items`, so that every project's answers are scored by one rule.
"""

import ast
import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vol3d.errors import ConfigError
from vol3d.evaluation.results import read_records
from vol3d.evaluation.vqa import answer_kind
from vol3d.evaluation.vqa_table import Item, item_from_record, patient_of, predictions_by_qid

Read = tuple[list[Item], dict[str, str]]
_M3D_TYPES = {"1": "plane", "2": "phase", "3": "organ", "4": "abnormality", "5": "location"}
csv.field_size_limit(16 * 1024 * 1024)


def read_deeptumorvqa(path: str | Path) -> Read:
    """A result file of `deeptumorvqa-eval`: questions and answers are both in it. Choices are scored where there are any."""
    records = read_records(path)
    form = "mc" if all(r.get("correct_option") for r in records) else "free"
    return [item_from_record(record, form) for record in records], predictions_by_qid(records)  # type: ignore[arg-type]


def read_m3d(path: str | Path) -> Read:
    """M3D-Bench's closed-question CSV: `Answer Choice` is the truth, `Pred` the output."""
    items, predictions = [], {}
    for number, row in enumerate(_csv(path, ("Answer Choice", "Pred"))):
        qid = f"{number}"
        options = {letter: row[f"Choice {letter}"] for letter in "ABCD" if row.get(f"Choice {letter}")}
        scan = row.get("Image Path") or row.get("Image") or qid
        subtype = _M3D_TYPES.get(str(row.get("Question Type", "")).strip(), str(row.get("Question Type", "")))
        items.append(
            Item(qid, scan, scan, "choice", row["Answer Choice"].strip().rstrip("."), options, groups={"subtype": subtype} if subtype else {})
        )
        predictions[qid] = row["Pred"]
    return items, predictions


def read_radfm(path: str | Path) -> Read:
    """RadFM's CSV (`Question, Ground Truth, Pred, belong_to`), whose cells are lists written as Python text."""
    items, predictions = [], {}
    for number, row in enumerate(_csv(path, ("Question", "Ground Truth", "Pred"))):
        qid, truth = f"{number}", _first(row["Ground Truth"])
        groups = {"subtype": _first(row["belong_to"])} if row.get("belong_to") else {}
        items.append(Item(qid, qid, qid, answer_kind(truth), truth, groups=groups))
        predictions[qid] = _first(row["Pred"])
    return items, predictions


def read_ct_chat(path: str | Path, truth: str | Path) -> Read:
    """CT-CHAT's predictions with CT-RATE's VQA file. Matched by scan and order of questions within it, never by list index over the file."""
    wanted: dict[str, list[tuple[str, str, str]]] = {}
    for record in read_records(truth):
        turns = record.get("conversations", [])
        for ask, say in zip(turns[::2], turns[1::2], strict=False):
            wanted.setdefault(str(record.get("image", "")), []).append((ask["value"], say["value"], str(ask.get("type", ""))))
    items, predictions, used = [], {}, dict.fromkeys(wanted, 0)
    for record in read_records(path):
        scan = str(record["image"])
        for turn in record["conversations_out"]:
            if used.get(scan, 0) >= len(wanted.get(scan, ())):
                raise ConfigError("more answers than questions for a scan", path=path, found=scan, expected=f"{len(wanted.get(scan, ()))} answers")
            _, answer, kind = wanted[scan][used[scan]]
            qid = f"{scan}#{used[scan]}"
            used[scan] += 1
            choice = answer.strip()[1:2].upper() if kind == "multiple_choice" and answer.strip().startswith("(") else ""
            item_kind = "choice" if choice else answer_kind(answer)
            items.append(Item(qid, scan, patient_of(scan), item_kind, choice or answer, groups={"subtype": kind} if kind else {}))
            predictions[qid] = str(turn["answer"])
    return items, predictions


def read_vlm3d_labels(path: str | Path) -> dict[str, dict[str, float]]:
    """A VLM3D classification submission: scan -> label -> probability."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))[0]["outputs"][0]["value"]["predictions"]
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ConfigError("not a VLM3D submission", path=path, expected="[0].outputs[0].value.predictions") from error
    return {Path(p["input_image_name"]).stem.removesuffix(".nii"): {k: float(v) for k, v in p["probabilities"].items()} for p in value}


READERS: Mapping[str, Callable[[str | Path], Read]] = {"deeptumorvqa": read_deeptumorvqa, "m3d": read_m3d, "radfm": read_radfm}


def _csv(path: str | Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [c for c in columns if not rows or c not in rows[0]]
    if missing:
        raise ConfigError(
            "not the CSV that was named", path=path, expected=f"columns {', '.join(columns)}", found=", ".join(rows[0]) if rows else "no rows"
        )
    return rows


def _first(cell: str) -> str:
    """`"['yes']"` -> `yes`; literals only, nothing is evaluated."""
    try:
        value: Any = ast.literal_eval(cell)
    except (ValueError, SyntaxError):
        return cell
    return str(value[0]) if isinstance(value, list | tuple) and value else cell
