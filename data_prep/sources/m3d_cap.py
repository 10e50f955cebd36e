"""M3D-Cap: 120,092 image stacks with captions, and M3D-VQA's questions (Bai et al. 2024).

    M3D_Cap.json {"train": [{"image": "....npy", "text": "....txt"}], "validation": [...], "test": [...]}, M3D_VQA_{train,test}.csv

Voxels are 8-bit pictures scaled to 0..1 without geometry: modality `unknown`, a 1 mm grid that means nothing, no HU.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.item import Item, Loaded, Source, safe_key
from data_prep.tables import read_csv, read_json
from data_prep.text.sections import split_sections
from vol3d.errors import VolumeError
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Notice, Volume

_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
_VQA_COLUMNS = ("Image Path", "Question", "Answer")


def list_items(root: Path) -> Iterator[Item]:
    """Image stacks in the order of the JSON file; subsets of the test set are not listed again."""
    for name, entries in read_json(root / "M3D_Cap.json").items():
        if name not in _SPLITS:
            continue
        for entry in entries:
            text = root / entry["text"]
            sections = split_sections(text.read_text(encoding="utf-8")) if text.is_file() else None
            case = Path(entry["image"]).parent.name or Path(entry["image"]).stem
            yield Item(
                key=safe_key(entry["image"].replace("/", "_")),
                study=case,
                patient=case,
                path=entry["image"],
                modality="unknown",
                findings=(sections.findings or sections.impression) if sections else "",
                split=_SPLITS[name],
                problem=None if sections else ("missing_text", f"no file {entry['text']}"),
            )


def load(root: Path, item: Item) -> Loaded:
    """The array with its channel axis dropped."""
    try:
        array = np.load(root / item.path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise VolumeError("not a NumPy array", path=item.path, found=repr(error)) from error
    array = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if array.ndim != 3 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise VolumeError("not a 3D array of numbers", path=item.path, expected="1x32x256x256", found=f"{array.dtype} {array.shape}")
    notice = Notice("no_geometry", "the corpus keeps no spacing and no orientation; 1 mm is a placeholder")
    return Loaded(Volume(array.astype(np.float32), make_affine((1, 1, 1)), "unknown", "a.u.", item.path, notices=(notice,)))


def read_vqa(path: str | Path) -> Iterator[dict[str, str]]:
    """Questions of an M3D-VQA table: `series question answer choice options question_type`."""
    for row in read_csv(path, key="Question"):
        options = [row[f"Choice {letter}"] for letter in "ABCD" if row.get(f"Choice {letter}")]
        yield {
            "series": safe_key(row["Image Path"].replace("/", "_")),
            "question": row["Question"],
            "answer": row["Answer"],
            "choice": row.get("Answer Choice", ""),
            "options": "\n".join(options),
            "question_type": row.get("Question Type", ""),
        }


SOURCE = Source(
    name="m3d_cap",
    title="M3D-Cap",
    licence="Apache-2.0 for the collection; single images follow Radiopaedia's terms",
    citation="Bai et al., M3D: advancing 3D medical image analysis with multi-modal large language models, 2024, arXiv:2404.00578",
    expected={"series": 120092},
    list_items=list_items,
    load=load,
)
