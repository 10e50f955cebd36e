"""A corpus of phantoms for the demo recipe: seeds in, conversations and tokens out, made once and kept on disk.

    seed --phantom--> volume, exact masks --measure, derive--> Evidence --families--> Conversation   (<seed>.json)
                        |
                        +--spoil--> the lines of wrong evidence on some structures
                        |
                        +--view--> image on the small grid, a true mask, a wrong mask  (<seed>.view.safetensors)
                                     |
                                     +--tokenizer--> tokens  (<seed>.tokens.safetensors)

Everything is a pure function of the seed and of the tokenizer, so a file that is there need not be made again. Each file is
written atomically and carries what it was made from; tokens of another tokenizer are refused.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import Dataset

import vol3d
from data_prep.conversations import ORGANS, Scene, turns
from data_prep.wrong_evidence import spoil
from experts3d.derive import derive
from experts3d.measure import measure
from tokenizers3d import Tokenizer
from vol3d.contracts import Evidence, LabelMap, Status
from vol3d.errors import CheckpointError, ConfigError
from vol3d.vlm import prompt
from vol3d.vlm.conversation import Conversation
from vol3d.vlm.fuse import Visual
from vol3d.vlm.view import View, Visuals, encode_view, mask_on_view, through_mask, view_of
from vol3d.volume.atomic import atomic_path
from vol3d.volume.phantom import Phantom, phantom_ct, phantom_mr
from vol3d.volume.volume import Volume

logger = logging.getLogger(__name__)

# Coarse enough to be made by the thousand on a CPU, fine enough that the smallest lesion drawn keeps a voxel.
GRIDS: dict[str, tuple[tuple[int, int, int], tuple[float, float, float]]] = {
    "chest": ((50, 88, 104), (5.0, 4.5, 4.5)),
    "abdomen": ((56, 88, 104), (5.0, 4.5, 4.5)),
    "chest_abdomen": ((88, 88, 104), (5.0, 4.5, 4.5)),
    "head": ((56, 80, 72), (3.0, 2.8, 2.8)),
}
SHARE_MR = 0.25
# Organs and tissues that have a line of evidence; findings have one too.
OFFERED = (
    *ORGANS, "lungs", "kidneys", "airway", "aorta", "stomach", "gallbladder", "colon", "bone", "fat", "soft_tissue", "body", "skull", "ventricles",
)  # fmt: skip
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
        self.make_tokens(seed)
        return Conversation.model_validate_json(self._path(seed, "json").read_bytes()), read_visuals(
            self._path(seed, "tokens.safetensors"), self.tokenizer.tokenizer_id
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """Loaded when first needed, so that the dataset can be sent to workers."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.load(self.tokenizer_path)
        return self._tokenizer

    def make_scene(self, seed: int) -> None:
        """Make a seed's conversation and view, unless they are there; needs no tokenizer."""
        scene_path, view_path = self._path(seed, "json"), self._path(seed, "view.safetensors")
        if scene_path.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        phantom = corpus_phantom(seed)
        conversation, wrong_mask = converse(phantom, seed)
        view = view_of(phantom.volume)
        tensors = {"image": torch.from_numpy(view.image).half(), "affine": torch.from_numpy(view.affine)}
        if conversation.overlay_of:
            mask = mask_on_view(phantom.labels.mask(conversation.overlay_of), phantom.labels.affine, view)
            tensors["mask"] = torch.from_numpy(mask)
        if wrong_mask is not None:
            tensors["wrong_mask"] = torch.from_numpy(mask_on_view(wrong_mask, phantom.labels.affine, view))
        with atomic_path(view_path) as temporary:
            save_file(tensors, temporary)
        # Last, since its presence says that the scene is whole.
        with atomic_path(scene_path) as temporary:
            temporary.write_text(conversation.model_dump_json(), encoding="utf-8")

    def make_tokens(self, seed: int) -> None:
        """Encode a seed's view, unless its tokens are there."""
        token_path = self._path(seed, "tokens.safetensors")
        if token_path.exists():
            return
        self.make_scene(seed)
        with safe_open(str(self._path(seed, "view.safetensors")), "np") as file:
            mask, wrong = (file.get_tensor(n) if n in file.keys() else None for n in ("mask", "wrong_mask"))  # noqa: SIM118
            view = View(file.get_tensor("image").astype(np.float32), file.get_tensor("affine"), "unknown")
        visuals = encode_view(self.tokenizer, view, mask=mask)
        if wrong is not None and wrong.any():
            visuals = replace(visuals, wrong=through_mask(self.tokenizer, view, visuals, wrong))
        write_visuals(visuals, token_path, self.tokenizer.tokenizer_id, seed)

    def _path(self, seed: int, ending: str) -> Path:
        return self.folder / f"{seed:06d}.{ending}"


def corpus_phantom(seed: int) -> Phantom:
    """The phantom of a seed on its region's grid: a quarter MR brains, else CT of chest, abdomen or both."""
    rng = np.random.default_rng([seed, 7])
    region = "head" if rng.random() < SHARE_MR else str(rng.choice(["chest", "abdomen", "chest_abdomen"]))
    shape_zyx, spacing_mm = GRIDS[region]
    if region == "head":
        return phantom_mr(seed, shape_zyx=shape_zyx, spacing_mm=spacing_mm)
    return phantom_ct(seed, shape_zyx=shape_zyx, spacing_mm=spacing_mm, region=region)


def converse(phantom: Phantom, seed: int) -> tuple[Conversation, np.ndarray | None]:
    """Questions and evidence of one phantom, from its exact masks; and the mask of the wrong evidence that can be drawn, if any."""
    rng = np.random.default_rng([seed, 11])
    evidence = exact_evidence(phantom.volume, phantom.labels)
    scan = f"phantom_{seed:06d}"
    asked = turns(
        Scene(
            scan,
            phantom.volume.modality,
            "head" if phantom.volume.modality == "MR" else str(phantom.parameters["region"]).replace("_", " and "),
            evidence,
        ),
        rng,
    )
    known = list(evidence.statuses)
    found = [s for s in known if evidence.statuses[s] is Status.FOUND]
    lesions = [s for s in found if prompt.is_lesion(s)]
    pool = lesions or found
    experts = {"supplied": tuple(s for s in known if evidence.statuses[s] is not Status.NOT_COVERED)}
    if phantom.volume.modality == "CT":
        experts["threshold_ct"] = THRESHOLD_CT
    else:
        experts["deepbet"] = ("brain",)
    asked_for = [s for turn in asked for s in turn.structures]
    spoiled = spoil(phantom.volume, phantom.labels, evidence, asked_for, np.random.default_rng([seed, 13]))
    wrong_overlay_of = next((s for s, made in spoiled.items() if made.mask is not None), None)
    conversation = Conversation(
        scan=scan,
        patient=scan,
        modality="MR" if phantom.volume.modality == "MR" else "CT",
        turns=asked,
        lines={s: prompt.evidence_line(evidence, s) for s in known},
        derived=prompt.derived_lines(evidence),
        experts=experts,
        overlay_of=str(rng.choice(pool)) if pool else None,
        wrong={s: made.evidence for s, made in spoiled.items()},
        wrong_overlay_of=wrong_overlay_of,
        provenance={"seed": str(seed), "vol3d": vol3d.__version__},
    )
    return conversation, spoiled[wrong_overlay_of].mask if wrong_overlay_of else None


def exact_evidence(volume: Volume, labels: LabelMap) -> Evidence:
    """What a perfect expert would report on organs and findings (not on each rib and vertebra)."""
    structures = [s for s in labels.structures if s in OFFERED or prompt.is_lesion(s)]
    measured = measure(volume, labels, structures)
    return Evidence((*measured, *derive(measured)), (), statuses={s: labels.status(s) for s in (*structures, *ORGANS)})


def write_visuals(visuals: Visuals, path: Path, tokenizer_id: str, seed: int) -> None:
    """Token vectors as int8 signs with their geometry, and the tokenizer that made them."""
    tensors = {}
    wrong = (*visuals.wrong.slices, *visuals.wrong.overlays) if visuals.wrong is not None else ()
    for i, visual in enumerate((*visuals.in_order, *wrong)):
        kind = visual.kind if i < len(visuals.in_order) else f"wrong-{visual.kind}"
        tensors[f"{i}_{kind}"] = visual.vectors.to(torch.int8).contiguous()
        tensors[f"{i}_geometry"] = visual.geometry.contiguous()
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"tokenizer": tokenizer_id, "seed": str(seed)})


def read_visuals(path: Path, tokenizer_id: str) -> Visuals:
    """Tokens of one scan; refuses those of another tokenizer."""
    with safe_open(str(path), "pt") as file:
        made_by = (file.metadata() or {}).get("tokenizer")
        if made_by != tokenizer_id:
            raise CheckpointError("tokens of another tokenizer", path=path, expected=tokenizer_id, found=made_by, hint="Use a new folder.")
        names = sorted((n for n in file.keys() if not n.endswith("_geometry")), key=lambda n: int(n.split("_")[0]))  # noqa: SIM118
        kinds = [n.split("_")[1] for n in names]
        read = [
            Visual(kind.removeprefix("wrong-"), file.get_tensor(n).float(), file.get_tensor(f"{n.split('_')[0]}_geometry"))
            for n, kind in zip(names, kinds, strict=True)
        ]

    def of(kind: str) -> tuple[Visual, ...]:
        return tuple(v for v, k in zip(read, kinds, strict=True) if k == kind)

    volume = of("volume")[0]
    wrong = Visuals(volume, of("wrong-slice"), of("wrong-overlay")) if of("wrong-overlay") else None
    return Visuals(volume, of("slice"), of("overlay"), wrong)


def main(argv: list[str] | None = None) -> None:
    """Fill a folder ahead of training: `python -m data_prep.phantom_conversations FOLDER --num 1200 --first 10000`.

    Several of these may run at once on parts of a corpus (`--part 0 2`, `--part 1 2`).
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, required=True)
    parser.add_argument("--first", type=int, default=10_000)
    parser.add_argument("--tokenizer", type=Path, help="without it only scenes are made")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"))
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    corpus = PhantomConversations(args.folder, args.num, args.first, args.tokenizer or "")
    for done, seed in enumerate(corpus.seeds[args.part[0] :: args.part[1]], start=1):
        (corpus.make_tokens if args.tokenizer else corpus.make_scene)(seed)
        if done % 50 == 0:
            logger.info("%d scans", done)


if __name__ == "__main__":
    main()
