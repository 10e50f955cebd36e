"""Ask a model all questions of a file: one scan after the other, every answer on disk as soon as it is there, resumable.

A failed question is kept as an error and asked again next time; it is never saved as an answer. A missing scan stops the run before it starts:
otherwise the model would be asked blind without anybody noticing. Every line says who was asked under what, and a file of something else is not gone on with.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from vol3d.errors import ConfigError
from vol3d.evaluation.models import Answerer, reply_of
from vol3d.evaluation.models.prompts import DEFAULT, prompt_for, prompt_id
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume

logger = logging.getLogger(__name__)
# What a file's answers have in common, in words; lines of older files lack some of them.
_SAME = {"prompt": "prompt", "form": "form of question", "model": "model", "condition": "condition", "scans": "folder of scans"}
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", "/ct.nii.gz", "")


def find_scan(folder: str | Path, image_id: str) -> Path | None:
    """The file of a scan: `ID.nii.gz` and the like, or `ID/ct.nii.gz`; ids cannot lead out of the folder."""
    base = Path(folder).resolve()
    for ending in _ENDINGS:
        path = (base / f"{image_id}{ending}").resolve()
        if path.is_relative_to(base) and path != base and (path.is_file() or (ending == "" and path.is_dir())):
            return path
    return None


def run_vqa(
    answerer: Answerer,
    records: Sequence[Mapping[str, Any]],
    scans: str | Path | None,
    output: str | Path,
    *,
    form: Literal["mc", "free"] = "mc",
    change: Callable[[Volume], Volume] | None = None,
    instead: Mapping[str, str] | None = None,
    template: str = DEFAULT,
    condition: str = "",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write `{"qid", "image_id", "prompt", "form", "model", "condition", "scans", "prediction"}` lines to `output`; gives the number of failures of this run.

    `confidence` and `status` join the line where the model gives them.

    Args:
        answerer: the model.
        records: questions with `qid` and `image_id`.
        scans: folder of scans; None asks the model blind.
        output: JSON lines; answers that are there already are kept, errors are asked again.
        form: multiple choice or free form.
        change: applied to each scan first (a probe).
        instead: image_id -> the scan that is shown in its place (a probe).
        template: the words around the question.
        condition: name of the probe; empty: `base`, or `no_image` without scans. `scans` of a line is the folder's name alone.
        on_progress: called with the number of questions done and in all.

    Errors: ConfigError for missing scans, and for a file that holds answers to another prompt, or of another model, condition or folder of scans.
    """
    shown = {str(r["image_id"]): str(r["image_id"]) if instead is None else instead[str(r["image_id"])] for r in records}
    paths = {} if scans is None else _locate(scans, set(shown.values()))
    same = {"prompt": prompt_id(template), "form": form, "model": answerer.name, "condition": condition or ("no_image" if scans is None else "base")}
    same |= {} if scans is None else {"scans": Path(scans).resolve().name}
    done = _finished(Path(output), same)
    waiting: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if str(record["qid"]) not in done:
            waiting.setdefault(str(record["image_id"]), []).append(record)
    failures, count = 0, len(records) - sum(map(len, waiting.values()))
    with Path(output).open("a", encoding="utf-8") as file:
        for image_id, questions in waiting.items():
            volume = None if scans is None else read_volume(paths[shown[image_id]])
            volume = change(volume) if change is not None and volume is not None else volume
            for record in questions:
                line: dict[str, Any] = {"qid": str(record["qid"]), "image_id": image_id, **same}
                try:
                    reply = reply_of(answerer, volume, prompt_for(record, form, template))
                    line["prediction"] = reply.text
                    line |= {"confidence": reply.confidence} if reply.confidence is not None else {}
                    line |= {"status": reply.status} if reply.status else {}
                except Exception as error:  # noqa: BLE001 - one question must not end a night's run; it is asked again next time
                    failures += 1
                    line["error"] = f"{type(error).__name__}: {error}"
                    logger.warning("question %s failed: %s", line["qid"], line["error"])
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                count += 1
                on_progress(count, len(records))
    return failures


def _locate(scans: str | Path, names: set[str]) -> dict[str, Path]:
    found = {name: find_scan(scans, name) for name in names}
    missing = sorted(name for name, path in found.items() if path is None)
    if missing:
        raise ConfigError(
            f"{len(missing)} scans are missing",
            path=scans,
            expected=f"{missing[0]}.nii.gz",
            hint="A model that is not given its scan would be asked blind.",
        )
    return {name: path for name, path in found.items() if path is not None}


def _finished(path: Path, same: Mapping[str, str]) -> set[str]:
    """Questions that have an answer; a line that was cut off by a crash counts as not there.

    Errors: ConfigError where the answers came about otherwise than `same` says.
    """
    if not path.exists():
        return set()
    done = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "prediction" in record:
            for key, expected in same.items():
                found = record.get(key, "default" if key == "prompt" else expected)
                if found != expected:
                    raise ConfigError(f"the file holds answers of another {_SAME[key]}", path=path, expected=expected, found=found, hint="Write to another file, or delete this one.")  # fmt: skip
            done.add(record["qid"])
    return done


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """Answers of a run's file, without its errors and without a last line that a crash cut off."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    out = []
    for line in lines:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "prediction" in record:
            out.append(record)
    return out
