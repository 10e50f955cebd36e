"""A corpus of phantoms for the demo recipe: seeds in, conversations and tokens out, made once and kept on disk.

    seed --phantom--> volume, exact masks --measure, derive--> Evidence --families--> Conversation   (<id>.json)
                        |
                        +--view--> image on the small grid, mask of one structure --tokenizer--> tokens (<id>.safetensors)

Everything is a pure function of the seed and of the tokenizer, so a file that is there need not be made again. Each file is
written atomically and carries what it was made from; tokens of another tokenizer are refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import Dataset

import vol3d
from data_prep.conversations import Scene, turns
from experts3d.derive import derive
from experts3d.measure import measure
from tokenizers3d import Tokenizer
from vol3d.contracts import Evidence, LabelMap, Status
from vol3d.errors import CheckpointError, ConfigError
from vol3d.vlm import prompt
from vol3d.vlm.conversation import Conversation
from vol3d.vlm.view import View, Visuals, encode_view, mask_on_view, view_of
from vol3d.volume.atomic import atomic_path
from vol3d.volume.phantom import Phantom, random_phantom
from vol3d.volume.volume import Volume

# Coarse enough to be made by the thousand on a CPU, fine enough that the smallest lesion drawn keeps a voxel.
SHAPE_CT, SPACING_CT_MM = (72, 88, 104), (5.0, 4.5, 4.5)
SHAPE_MR, SPACING_MR_MM = (56, 80, 72), (3.0, 2.8, 2.8)
SHARE_MR = 0.25
# What each expert of the panel can be asked for; `supplied` stands for the exact masks of the phantom.
THRESHOLD_CT = ("body", "lungs", "lung_left", "lung_right", "airway", "bone", "fat", "soft_tissue")


class PhantomConversations(Dataset):
    """Map-style dataset of (Conversation, Visuals), built on first use.

    Args:
        folder: where the files are kept.
        num_scans, first_seed: which phantoms; held-out sets use other seeds.
        tokenizer: path of the tokenizer's weights.
    """

    def __init__(self, folder: str | Path, num_scans: int, first_seed: int, tokenizer: str | Path) -> None:
        if num_scans < 1:
            raise ConfigError("a corpus needs scans", expected="num_scans >= 1", found=num_scans)
        self.folder = Path(folder)
        self.seeds = range(first_seed, first_seed + num_scans)
        self.tokenizer_path = Path(tokenizer)
        self._tokenizer: Tokenizer | None = None

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> tuple[Conversation, Visuals]:
        seed = self.seeds[index]
        scene_path, token_path = self.paths(seed)
        if not (scene_path.exists() and token_path.exists()):
            self.make(seed)
        return Conversation.model_validate_json(scene_path.read_bytes()), read_visuals(token_path, self.tokenizer.tokenizer_id)

    @property
    def tokenizer(self) -> Tokenizer:
        """Loaded when first needed, so that the dataset can be sent to workers."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.load(self.tokenizer_path)
        return self._tokenizer

    def paths(self, seed: int) -> tuple[Path, Path]:
        """The conversation and the tokens of one seed."""
        return self.folder / f"{seed:06d}.json", self.folder / f"{seed:06d}.safetensors"

    def make(self, seed: int) -> None:
        """Make one scan's files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scene_path, token_path = self.paths(seed)
        phantom = corpus_phantom(seed)
        conversation, labels = converse(phantom, seed)
        view = view_of(phantom.volume)
        mask = overlay_mask(labels, conversation.overlay_of, view)
        write_visuals(encode_view(self.tokenizer, view, mask=mask), token_path, self.tokenizer.tokenizer_id, seed)
        with atomic_path(scene_path) as temporary:
            temporary.write_text(conversation.model_dump_json(), encoding="utf-8")


def corpus_phantom(seed: int) -> Phantom:
    """The phantom of a seed on the corpus grid: a quarter MR brains, else CT of varied coverage."""
    if np.random.default_rng([seed, 7]).random() < SHARE_MR:
        return random_phantom(seed, modality="MR", shape_zyx=SHAPE_MR, spacing_mm=SPACING_MR_MM)
    return random_phantom(seed, modality="CT", shape_zyx=SHAPE_CT, spacing_mm=SPACING_CT_MM)


def converse(phantom: Phantom, seed: int) -> tuple[Conversation, LabelMap]:
    """Questions and evidence of one phantom, from its exact masks."""
    rng = np.random.default_rng([seed, 11])
    evidence = exact_evidence(phantom.volume, phantom.labels)
    scan = f"phantom_{seed:06d}"
    asked = turns(Scene(scan, phantom.volume.modality, region_of(evidence, phantom.volume.modality), evidence), rng)
    known = [s for s in evidence.statuses if _is_offered(s)]
    found = [s for s in known if evidence.statuses[s] is Status.FOUND]
    lesions = [s for s in found if prompt.is_lesion(s)]
    pool = lesions or found
    experts = {"supplied": tuple(s for s in known if evidence.statuses[s] is not Status.NOT_COVERED)}
    if phantom.volume.modality == "CT":
        experts["threshold_ct"] = THRESHOLD_CT
    else:
        experts["deepbet_mri"] = ("brain",)
    conversation = Conversation(
        scan=scan,
        patient=scan,
        modality="MR" if phantom.volume.modality == "MR" else "CT",
        turns=asked,
        lines={s: prompt.evidence_line(evidence, s) for s in known},
        derived=prompt.derived_lines(evidence),
        experts=experts,
        overlay_of=str(rng.choice(pool)) if pool else None,
        provenance={"seed": str(seed), "vol3d": vol3d.__version__},
    )
    return conversation, phantom.labels


def exact_evidence(volume: Volume, labels: LabelMap) -> Evidence:
    """What a perfect expert would report."""
    measured = measure(volume, labels)
    return Evidence((*measured, *derive(measured)), (), statuses={s: labels.status(s) for s in labels.structures})


def region_of(evidence: Evidence, modality: str) -> str:
    """Which part of the body is in view, from what is found in it."""
    if modality == "MR":
        return "head"
    chest = evidence.statuses.get("heart") is Status.FOUND
    abdomen = any(evidence.statuses.get(s) is Status.FOUND for s in ("kidney_left", "kidney_right", "pancreas"))
    return "chest and abdomen" if chest and abdomen else "chest" if chest else "abdomen"


def overlay_mask(labels: LabelMap, structure: str | None, view: View) -> np.ndarray | None:
    """The mask of one structure on the view's grid."""
    return mask_on_view(labels.mask(structure), labels.affine, view) if structure else None


def write_visuals(visuals: Visuals, path: Path, tokenizer_id: str, seed: int) -> None:
    """Token vectors as int8 signs, with the tokenizer that made them."""
    tensors = {"volume": visuals.volume}
    tensors |= {f"slice_{i}": t for i, t in enumerate(visuals.slices)} | {f"overlay_{i}": t for i, t in enumerate(visuals.overlays)}
    with atomic_path(path) as temporary:
        save_file(
            {name: t.to(torch.int8).contiguous() for name, t in tensors.items()}, temporary, metadata={"tokenizer": tokenizer_id, "seed": str(seed)}
        )


def read_visuals(path: Path, tokenizer_id: str) -> Visuals:
    """Tokens of one scan; refuses those of another tokenizer."""
    with safe_open(str(path), "pt") as file:
        made_by = (file.metadata() or {}).get("tokenizer")
        if made_by != tokenizer_id:
            raise CheckpointError("tokens of another tokenizer", path=path, expected=tokenizer_id, found=made_by, hint="Use a new folder.")
        names = sorted(file.keys())
        tensors = {name: file.get_tensor(name).float() for name in names}
    return Visuals(
        tensors["volume"],
        tuple(tensors[n] for n in names if n.startswith("slice_")),
        tuple(tensors[n] for n in names if n.startswith("overlay_")),
    )


def export_jsonl(conversations: Sequence[Conversation], path: Path) -> None:
    """All conversations as JSON lines."""
    with atomic_path(path) as temporary, Path(temporary).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(c.model_dump(mode="json")) + "\n" for c in conversations)


def _is_offered(structure: str) -> bool:
    """Whether a structure is worth a line: organs and findings that questions name, not each rib and vertebra."""
    return not structure.startswith(("vertebrae_", "rib_")) and not structure.endswith("_parenchyma")
