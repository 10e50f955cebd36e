"""One colour for each structure name, the same in every picture, session and training run.

The structures that readers meet most have colours chosen after Okabe and Ito (jfly.uni-koeln.de/color, 2008), which colour-blind readers tell apart;
partners left and right are a darker and a lighter shade. All other names get a hue from their place in a fixed list.
"""

import colorsys
import zlib

Colour = tuple[int, int, int]

_CHOSEN: dict[str, Colour] = {
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
_LESIONS: tuple[tuple[str, Colour], ...] = (
    ("tumour", (255, 0, 200)),
    ("cyst", (0, 255, 255)),
    ("nodule", (255, 60, 0)),
    ("consolidation", (255, 200, 0)),
    ("emphysema", (180, 80, 255)),
    ("effusion", (60, 120, 255)),
    ("calcification", (255, 255, 255)),
    ("node", (170, 255, 0)),
    ("hernia", (255, 150, 150)),
    ("lesion", (255, 0, 200)),
)
_LEFT_SHADE, _RIGHT_SHADE = 1.0, 0.62


def colour_of(structure: str) -> Colour:
    """RGB of a structure.

    >>> colour_of("liver"), colour_of("kidney_left") != colour_of("kidney_right"), colour_of("liver_tumour")
    ((213, 94, 0), True, (255, 0, 200))
    """
    if structure in _CHOSEN:
        return _CHOSEN[structure]
    for word, colour in _LESIONS:
        if word in structure:
            return colour
    base = structure.removesuffix("_left").removesuffix("_right").removesuffix("_parenchyma")
    shade = _RIGHT_SHADE if structure.endswith("_right") else _LEFT_SHADE
    red, green, blue = _CHOSEN.get(base) or _hashed(base)
    return round(red * shade), round(green * shade), round(blue * shade)


def _hashed(name: str) -> Colour:
    """A colour from the name alone, so that it never depends on what else is drawn."""
    code = zlib.crc32(name.encode())
    hue, lightness, saturation = (code % 360) / 360, 0.42 + 0.28 * ((code >> 9) % 8) / 7, 0.45 + 0.45 * ((code >> 13) % 4) / 3
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)
