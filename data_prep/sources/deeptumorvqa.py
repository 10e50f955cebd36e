"""DeepTumorVQA v1 and v2: abdominal CTs with tumour-centred questions (Chen et al. 2025; v2 2026), on AbdomenAtlas volumes.

benchmark/ct/<BDMAP id>/ct.nii.gz, benchmark/test_qa.json or test_qa.jsonl, train/train_qa.csv (v2)
<BDMAP id>/ct.nii.gz, <BDMAP id>/segmentations/<structure>.nii.gz (AbdomenAtlas, where the user has it)
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.item import Item, MaskFile, Source, safe_key
from data_prep.tables import read_csv, read_json
from vol3d.errors import VolumeError

# Keys of v1 and of v2's training table -> keys of v2.
_RENAMED = {
    "question_id": "qid",
    "multiple_choice_question": "mc_question",
    "Image ID": "image_id",
    "Question ID": "qid",
    "Question": "question",
    "Answer": "answer",
    "Question Type": "question_type",
    "Question Subtype": "question_subtype",
    "Multiple Choice Question": "mc_question",
    "Correct Option": "correct_option",
    "Organ": "organ",
    "Lesion": "lesion",
    "Spacing": "spacing",
    "Shape": "shape",
}
_REQUIRED = ("qid", "image_id", "question", "answer", "question_type", "question_subtype")


def list_items(root: Path) -> Iterator[Item]:
    """CTs in the order of their ids, with AbdomenAtlas masks where they are there."""
    test = root / "benchmark" / "test_qa.json"
    benchmark = {q["image_id"] for q in read_questions(test)} if test.is_file() else set()
    for path in sorted(root.rglob("ct.nii.gz")):
        name = path.parent.name
        masks = sorted((path.parent / "segmentations").glob("*.nii.gz"), key=lambda p: (_is_lesion(p.name), p.name))
        yield Item(
            key=safe_key(name),
            study=name,
            patient=name,
            path=path.relative_to(root).as_posix(),
            modality="CT",
            split="test" if name in benchmark else "train" if benchmark else "",
            masks=tuple(MaskFile(m.relative_to(root).as_posix(), {1: m.name.removesuffix(".nii.gz")}) for m in masks),
        )


def _is_lesion(name: str) -> bool:
    return any(word in name for word in ("lesion", "tumor", "tumour", "cyst", "pdac", "pnet"))


def read_questions(path: str | Path) -> Iterator[dict[str, Any]]:
    """Questions of any of the published files, with v2's keys.

    Raises:
        VolumeError: a question without its id, image, text or answer.
    """
    for number, record in enumerate(_records(Path(path))):
        question = {_RENAMED.get(key, key): value for key, value in record.items()}
        missing = [key for key in _REQUIRED if key not in question]
        if missing:
            raise VolumeError(f"question {number} is incomplete", path=path, expected=", ".join(_REQUIRED), found=f"missing {', '.join(missing)}")
        yield question


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".csv":
        yield from read_csv(path)
    elif path.suffix == ".jsonl":
        yield from (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    else:
        document = read_json(path)
        yield from document["questions"] if isinstance(document, dict) else document


SOURCE = Source(
    name="deeptumorvqa",
    title="DeepTumorVQA",
    licence="CC-BY-4.0 for questions; volumes follow their sources",
    citation="Chen et al., DeepTumorVQA, 2025, arXiv:2505.18915; version 2: 2026, arXiv:2605.09679",
    expected={"series": 9262, "test": 991},
    list_items=list_items,
)
