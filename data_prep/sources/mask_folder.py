"""Folders of images and masks: MSD, KiTS, LiTS and AbdomenAtlas layouts, found by their files.

MSD            dataset.json, imagesTr/*.nii.gz, labelsTr/*.nii.gz, imagesTs/*.nii.gz
KiTS           case_00000/imaging.nii.gz, case_00000/segmentation.nii.gz
LiTS           volume-0.nii[.gz], segmentation-0.nii[.gz]
AbdomenAtlas   <id>/ct.nii.gz, <id>/segmentations/<structure>.nii.gz
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.item import Item, MaskFile, Source, safe_key
from data_prep.sources.deeptumorvqa import list_items as list_atlas
from data_prep.tables import read_json

_KITS_NAMES = {1: "kidney_parenchyma", 2: "kidney_tumour", 3: "kidney_cyst"}
_LITS_NAMES = {1: "liver_parenchyma", 2: "liver_tumour"}
# Names of MSD's dataset.json, as this toolkit spells them.
_MSD_NAMES = {"cancer": "tumour", "tumor": "tumour", "edema": "oedema", "esophagus": "oesophagus"}
_MODALITIES = {"CT": "CT", "MRI": "MR", "MR": "MR"}


def list_items(root: Path) -> Iterator[Item]:
    """All series of whichever layout the folder has."""
    if (root / "dataset.json").is_file():
        yield from _msd(root)
    elif any(root.glob("*/imaging.nii.gz")):
        yield from _kits(root)
    elif any(root.rglob("volume-*.nii*")):
        yield from _lits(root)
    else:
        yield from list_atlas(root)


def _msd(root: Path) -> Iterator[Item]:
    card = read_json(root / "dataset.json")
    organ = str(card.get("name", "")).lower().replace("task", "").strip("0123456789_ ")
    names = {int(i): _msd_name(str(name), organ) for i, name in card["labels"].items() if int(i) != 0}
    modality = _MODALITIES.get(str(next(iter(card.get("modality", {}).values()), "")).upper())
    for folder, split in (("imagesTr", "train"), ("imagesTs", "test")):
        for path in sorted((root / folder).glob("*.nii.gz")):
            if path.name.startswith("."):
                continue  # macOS leaves ._ files in the published archives
            mask = root / folder.replace("images", "labels") / path.name
            masks = (MaskFile(mask.relative_to(root).as_posix(), names),) if mask.is_file() else ()
            problem = ("missing_mask", f"no {mask.relative_to(root)}") if split == "train" and not masks else None
            yield _item(path, root, modality, masks, problem)


def _msd_name(name: str, organ: str) -> str:
    lowered = name.lower().replace(" ", "_")
    plain = _MSD_NAMES.get(lowered, lowered)
    return f"{organ}_{plain}" if plain in ("tumour", "cyst", "lesion") and organ else plain


def _kits(root: Path) -> Iterator[Item]:
    for path in sorted(root.glob("*/imaging.nii.gz")):
        mask = path.with_name("segmentation.nii.gz")
        masks = (MaskFile(mask.relative_to(root).as_posix(), _KITS_NAMES),) if mask.is_file() else ()
        item = _item(path, root, "CT", masks, None if masks else ("missing_mask", "no segmentation.nii.gz"))
        yield Item(**{**item.__dict__, "key": safe_key(path.parent.name), "study": path.parent.name, "patient": path.parent.name})


def _lits(root: Path) -> Iterator[Item]:
    for path in sorted(root.rglob("volume-*.nii*"), key=lambda p: (len(p.name), p.name)):
        mask = path.with_name(path.name.replace("volume-", "segmentation-"))
        masks = (MaskFile(mask.relative_to(root).as_posix(), _LITS_NAMES),) if mask.is_file() else ()
        yield _item(path, root, "CT", masks, None if masks else ("missing_mask", f"no {mask.name}"))


def _item(path: Path, root: Path, modality: str | None, masks: tuple[MaskFile, ...], problem: tuple[str, str] | None) -> Item:
    key = safe_key(path.name)
    return Item(key=key, study=key, patient=key, path=path.relative_to(root).as_posix(), modality=modality, masks=masks, problem=problem)


SOURCE = Source(
    name="mask_folder",
    title="a folder of images and masks (MSD, KiTS, LiTS, AbdomenAtlas)",
    licence="see the corpus",
    citation="MSD: Antonelli et al. 2022; KiTS: Heller et al. 2021; LiTS: Bilic et al. 2023; AbdomenAtlas: Li et al. 2024",
    expected={},
    list_items=list_items,
)
