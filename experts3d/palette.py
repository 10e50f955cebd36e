"""One colour for each structure name, the same in every picture, session and training run.

The structures that readers meet most have colours chosen after Okabe and Ito (jfly.uni-koeln.de/color, 2008), which colour-blind readers tell apart;
partners left and right are a darker and a lighter shade. The other names of the label tables have
colours as far from one another as normal and deuteranopic eyes allow; a name that is in no table gets one from its letters.
"""

import colorsys
import csv
import re
import zlib
from functools import cache
from importlib.resources import files

from experts3d.anatomy import side_of_name

Colour = tuple[int, int, int]

CHOSEN: dict[str, Colour] = {
    "liver": (213, 94, 0),
    "spleen": (204, 121, 167),
    "kidney": (0, 158, 115),
    "pancreas": (240, 228, 66),
    "stomach": (170, 120, 60),
    "gallbladder": (120, 200, 60),
    "urinary_bladder": (230, 200, 120),
    "aorta": (200, 30, 45),
    "heart": (160, 40, 80),
    "inferior_vena_cava": (40, 70, 200),
    "lung": (86, 180, 233),
    "lungs": (86, 180, 233),
    "airway": (0, 114, 178),
    "trachea": (0, 114, 178),
    "lung_aerated": (120, 200, 240),
    "lung_poorly_aerated": (230, 159, 0),
    "lung_low_attenuation": (150, 60, 200),
    "bone": (235, 225, 190),
    "fat": (225, 190, 90),
    "soft_tissue": (190, 110, 100),
    "calcification": (255, 255, 255),
    "body": (150, 150, 150),
    "brain": (230, 159, 0),
}
# Lesions are drawn over organs: saturated colours that no organ has.
LESIONS: tuple[tuple[str, Colour], ...] = (
    ("tumour", (255, 0, 200)),
    ("cyst", (0, 255, 255)),
    ("nodule", (255, 60, 0)),
    ("consolidation", (255, 200, 0)),
    ("emphysema", (180, 80, 255)),
    ("effusion", (60, 120, 255)),
    ("calcification", (255, 255, 255)),
    ("node", (170, 255, 0)),
    ("hernia", (255, 150, 150)),
    ("lesion", (255, 150, 255)),
)
RIGHT_SHADE = 0.62


def colour_of(structure: str) -> Colour:
    """RGB of a structure.

    >>> colour_of("liver"), colour_of("kidney_left") != colour_of("kidney_right"), colour_of("liver_tumour")
    ((213, 94, 0), True, (255, 0, 200))
    """
    if structure in CHOSEN:
        return CHOSEN[structure]
    for word, colour in LESIONS:
        if word in structure:
            return colour
    base = re.sub(r"_(left|right)(?=_\d+$|$)", "", structure.removesuffix("_parenchyma").removesuffix("_bone"))
    shade = RIGHT_SHADE if side_of_name(structure) == "right" else 1.0
    red, green, blue = CHOSEN.get(base) or _table().get(base) or _hashed(base)
    return round(red * shade), round(green * shade), round(blue * shade)


@cache
def _table() -> dict[str, Colour]:
    """Colours of all other names of the shipped label tables, spread by benchmarks/make_palette.py."""
    text = (files("experts3d.tables") / "palette.csv").read_text(encoding="utf-8")
    return {row["name"]: (int(row["red"]), int(row["green"]), int(row["blue"])) for row in csv.DictReader(text.splitlines())}


def _hashed(name: str) -> Colour:
    """A colour from the name alone, so that it never depends on what else is drawn."""
    code = zlib.crc32(name.encode())
    hue, lightness, saturation = (code % 360) / 360, 0.42 + 0.28 * ((code >> 9) % 8) / 7, 0.45 + 0.45 * ((code >> 13) % 4) / 3
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)
