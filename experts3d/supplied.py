"""Masks that the user already has, as an expert: one label file with a table, or a folder with one mask file per structure.

A mask on the scan's grid in another orientation is turned; one on another grid is refused with both grids named, or resampled when asked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experts3d.anatomy import GROUPS, group_unions, organ_unions, parent_organ, status_of
from experts3d.label_table import load_table
from experts3d.orientation import stored_order
from experts3d.snomed import snomed_codes
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ExpertError
from vol3d.volume.geometry import require_same_grid, same_grid, to_canonical
from vol3d.volume.read import read_mask
from vol3d.volume.resample import resample_like
from vol3d.volume.volume import Volume

VERSION = "1"
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


class SuppliedMasks:
    """An expert that hands out masks from files.

    Args:
        source: a label file, a folder of `<structure>.nii.gz` files, or a label Volume.
        labels: table of the label file (`totalseg`, `totalseg_mr`, a mapping, a .json or .csv file); None: the names in the file, else `label_1`, ...
        resample: bring masks of another grid over (nearest neighbour) instead of refusing them.
        accept: refusals of the mask's file to overrule, as for `read_volume`.
        name: under which the card shows it.

    >>> from vol3d.volume.geometry import make_affine
    >>> mask = Volume(np.ones((2, 2, 2), np.uint8), make_affine((1, 1, 1)), "unknown", "a.u.")
    >>> SuppliedMasks(mask, labels={1: "liver"}).segment(mask, ["liver"]).status("liver").value
    'found'
    """

    def __init__(
        self,
        source: str | Path | Volume,
        *,
        labels: str | Path | Mapping[int, str] | None = None,
        resample: bool = False,
        accept: Sequence[str] = (),
        name: str = "supplied",
    ) -> None:
        self._source, self._resample, self._accept, self._name = source, resample, tuple(accept), name
        self._files = _mask_files(Path(source)) if not isinstance(source, Volume) and Path(source).is_dir() else {}
        self._masks: dict[str, Volume] = {}
        self._table = {} if self._files else load_table(labels) if labels is not None else self._numbered()

    @property
    def card(self) -> ExpertCard:
        """What the files hold."""
        targets = self._targets()
        return ExpertCard(
            name=self._name,
            version=VERSION,
            modalities=("CT", "MR"),
            summary="masks that came with the scan",
            targets=targets,
            arguments=targets,
            snomed=snomed_codes(targets),
            cost="reads a file",
            licence="the user's own",
            commercial_use=True,
            weights="none",
        )

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """The masks on the scan's grid.

        Raises:
            GeometryError: a mask lies on another grid and resampling was not asked for.
            ExpertError: a target that the table does not name, or a label that it misses.

        """
        known = self._targets()
        unknown = [t for t in targets if t not in known]
        if unknown:
            raise ExpertError("the supplied masks have no such structure", expected=", ".join(known), found=", ".join(unknown))
        if self._files:
            array, names, unions = _combine({name: self._mask(str(path), volume) > 0 for name, path in self._files.items()})
        else:
            array = self._mask(str(self._source), volume)
            present = [int(i) for i in np.unique(array) if i]
            strange = [i for i in present if i not in self._table]
            if strange:
                found = ", ".join(map(str, strange[:10]))
                raise ExpertError(
                    "the mask holds labels that its table does not name", found=found, hint="Give the table that belongs to it (--labels)."
                )
            names, unions = organ_unions(self._table, present)
        unions = group_unions(names, unions)
        statuses, reasons = self._statuses(array, names, unions, tuple(targets))
        return LabelMap(array, volume.affine, names, volume.source, self._name, VERSION, statuses, unions, reasons)

    def _statuses(
        self, array: np.ndarray, names: Mapping[int, str], unions: Mapping[str, tuple[int, ...]], targets: tuple[str, ...]
    ) -> tuple[dict[str, Status], dict[str, str]]:
        """Of the targets; unasked, of groups of which only a part was supplied: the part's absence must not become the group's."""
        present = set(np.unique(array).tolist())
        known = self._targets()
        asked = targets or tuple(name for name, parts in GROUPS.items() if name in unions and not set(parts) <= set(known))
        found = {name: status_of(name, names, unions, present) for name in asked}
        return {name: status for name, (status, _) in found.items()}, {name: reason for name, (_, reason) in found.items() if reason}

    def _targets(self) -> tuple[str, ...]:
        names = dict(enumerate(self._files, start=1)) if self._files else self._table
        return tuple(dict.fromkeys([*names.values(), *group_unions(names, {})]))

    def _numbered(self) -> dict[int, str]:
        """Names that stand in the file itself, as this toolkit writes them, else `label_1`, `label_2`, ..."""
        mask = self._read(str(self._source))
        named = {int(i): str(name) for i, name in dict(mask.header.get("label_names", {})).items()}
        return named or {int(i): f"label_{int(i)}" for i in np.unique(mask.numpy()) if i > 0}

    def _read(self, path: str) -> Volume:
        if isinstance(self._source, Volume):
            return self._source
        if path not in self._masks:
            self._masks[path] = read_mask(path, accept=self._accept)
        return self._masks[path]

    def _mask(self, path: str, volume: Volume) -> np.ndarray:
        mask = self._read(path)
        turned = _like(mask, volume)
        if turned is not None:
            return turned
        if not self._resample:
            require_same_grid(volume.shape, volume.affine, mask.shape, mask.affine, path=path if isinstance(self._source, str | Path) else None)
        return np.asarray(resample_like(mask, volume, mode="nearest").numpy())


def _like(mask: Volume, volume: Volume) -> np.ndarray | None:
    """The mask's voxels in the scan's order, where both cover the same grid; None where they do not."""
    if same_grid(volume.shape, volume.affine, mask.shape, mask.affine):
        return mask.numpy()
    canonical, affine = to_canonical(mask.numpy(), mask.affine)
    target = volume.canonical()
    if not same_grid(target.shape, target.affine, canonical.shape, affine):
        return None
    return stored_order(canonical, volume)


def _mask_files(folder: Path) -> dict[str, Path]:
    files = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix:
            files[path.name[: -len(suffix)].replace(" ", "_")] = path
    if not files:
        raise ExpertError("the folder holds no mask files", path=folder, expected=f"<structure>{_SUFFIXES[0]}")
    return files


def _combine(masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[int, str], dict[str, tuple[int, ...]]]:
    """Masks that may overlap as one label array: each overlap gets an id of its own, and a structure is the union of its ids."""
    array = np.zeros(next(iter(masks.values())).shape, np.uint16)
    members: dict[int, tuple[str, ...]] = {}
    for name, mask in masks.items():
        for below in np.unique(array[mask]).tolist() or []:
            members[len(members) + 1] = (*members.get(below, ()), name)
            array[mask & (array == below)] = len(members)
    unions = {name: tuple(i for i, group in members.items() if name in group) for name in masks}
    names = {}
    for i, group in members.items():
        lesions = [name for name in group if parent_organ(name) in group]
        names[i] = group[0] if len(group) == 1 else "+".join(group)
        if lesions and unions[lesions[0]] == (i,):
            names[i] = lesions[0]
        elif len(group) == 1 and len(unions[group[0]]) > 1:
            names[i] = f"{group[0]}_parenchyma" if any(parent_organ(name) == group[0] for name in masks) else f"{group[0]}_rest"
    present = set(np.unique(array).tolist())
    names = {i: name for i, name in names.items() if i in present}
    kept = {name: tuple(i for i in ids if i in present) for name, ids in unions.items()}
    absent = {name: ids for name, ids in kept.items() if not ids}
    several = {name: ids for name, ids in kept.items() if len(ids) > 1 or (ids and names[ids[0]] != name)}
    return array, names, several | absent
