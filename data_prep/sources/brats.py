"""BraTS-like brain MR: several co-registered sequences and one tumour mask per case; each sequence is a series of one study.

<case>/<case>_{t1,t1ce,t2,flair,seg}.nii.gz      (to 2021)
<case>/<case>-{t1n,t1c,t2w,t2f,seg}.nii.gz       (from 2023)
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.item import Item, MaskFile, Source, safe_key

_SEQUENCES = {
    "t1": "T1",
    "t1n": "T1",
    "t1ce": "T1 post-contrast",
    "t1c": "T1 post-contrast",
    "t2": "T2",
    "t2w": "T2",
    "flair": "FLAIR",
    "t2f": "FLAIR",
}
_FILE = re.compile(r"(?P<case>.+)[-_](?P<part>t1n|t1ce|t1c|t1|t2w|t2f|t2|flair|seg)\.nii(?:\.gz)?\Z", re.IGNORECASE)
# 4 was the enhancing part until 2021, 3 since 2023.
_NAMES = {1: "brain_tumour_necrosis", 2: "brain_tumour_oedema", 3: "brain_tumour_enhancing", 4: "brain_tumour_enhancing"}


def list_items(root: Path) -> Iterator[Item]:
    """Sequences in the order of cases and names."""
    cases: dict[str, dict[str, Path]] = {}
    for path in sorted(root.rglob("*.nii*")):
        match = _FILE.match(path.name)
        if match:
            cases.setdefault(match["case"], {})[match["part"].lower()] = path
    for case, parts in cases.items():
        mask = parts.get("seg")
        masks = (MaskFile(mask.relative_to(root).as_posix(), _NAMES),) if mask else ()
        for part, path in parts.items():
            if part == "seg":
                continue
            yield Item(
                key=safe_key(f"{case}_{part}"),
                study=case,
                patient=re.sub(r"-\d{3}\Z", "", case),  # BraTS-GLI-00000-000: the last number is the time point
                path=path.relative_to(root).as_posix(),
                modality="MR",
                technique=f"MR, {_SEQUENCES[part]}",
                masks=masks,
            )


SOURCE = Source(
    name="brats",
    title="BraTS-like brain MR",
    licence="see the year of the challenge",
    citation="Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 benchmark, 2021, arXiv:2107.02314",
    expected={},
    list_items=list_items,
)
