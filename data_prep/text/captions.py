"""Labels -> captions with paraphrases, so that corpora without reports can train with text (the idea of UniMed-CLIP).

A caption says only what the labels say: positive findings, and some of the negative ones. Labels never invent a side or a size.
"""

from collections.abc import Mapping

import numpy as np

from vol3d.errors import ConfigError

# label -> noun phrases that mean it; the first is the plainest.
PHRASES: dict[str, tuple[str, ...]] = {
    "Medical material": ("medical material", "a medical device or surgical material"),
    "Arterial wall calcification": (
        "arterial wall calcification",
        "calcified plaques in the arterial wall",
        "calcific atherosclerosis of the aorta or its branches",
    ),
    "Cardiomegaly": ("cardiomegaly", "an enlarged heart"),
    "Pericardial effusion": ("pericardial effusion", "fluid in the pericardial space"),
    "Coronary artery wall calcification": ("coronary artery calcification", "calcified coronary plaques"),
    "Hiatal hernia": ("hiatal hernia", "herniation of the stomach through the hiatus"),
    "Lymphadenopathy": ("lymphadenopathy", "enlarged lymph nodes"),
    "Emphysema": ("emphysema", "emphysematous change of the lungs"),
    "Atelectasis": ("atelectasis", "atelectatic lung"),
    "Lung nodule": ("lung nodule", "a pulmonary nodule", "nodular focus in the lung"),
    "Lung opacity": ("lung opacity", "ground-glass or other pulmonary opacity"),
    "Pulmonary fibrotic sequela": ("pulmonary fibrotic sequela", "fibrotic scarring of the lung"),
    "Pleural effusion": ("pleural effusion", "fluid in the pleural space"),
    "Mosaic attenuation pattern": ("mosaic attenuation", "a mosaic pattern of lung attenuation"),
    "Peribronchial thickening": ("peribronchial thickening", "thickening around the bronchi"),
    "Consolidation": ("consolidation", "consolidated lung"),
    "Bronchiectasis": ("bronchiectasis", "widened bronchi"),
    "Interlobular septal thickening": ("interlobular septal thickening", "thickened interlobular septa"),
}
_OPENINGS = (
    "{modality} of the {region} with {list}.",
    "A {region} {modality} showing {list}.",
    "{list_capital} on {modality} of the {region}.",
    "{modality} scan; findings: {list}.",
)
_NORMAL = (
    "{modality} of the {region} without any of the listed findings.",
    "A {region} {modality} in which none of the findings in question is seen.",
)
_NEGATIVES = ("No {name}.", "{name_capital} is not seen.", "There is no evidence of {name}.")


def caption(labels: Mapping[str, int], rng: np.random.Generator, *, modality: str = "CT", region: str = "chest", num_negatives: int = 2) -> str:
    """One caption of a label set; the same generator state gives the same caption.

    Raises:
        ConfigError: a label without phrases.

    >>> caption({"Emphysema": 1}, np.random.default_rng(0), num_negatives=0)
    'Emphysematous change of the lungs on CT of the chest.'
    """
    unknown = [name for name in labels if name not in PHRASES]
    if unknown:
        raise ConfigError("labels without caption phrases", expected="the 18 CT-RATE labels", found=", ".join(unknown))
    positive = [name for name, value in labels.items() if value == 1]
    negative = [name for name, value in labels.items() if value == 0]
    words = [str(rng.choice(PHRASES[name])) for name in rng.permutation(positive)]
    template = str(rng.choice(_OPENINGS if words else _NORMAL))
    listed = _join(words)
    text = template.format(modality=modality, region=region, list=listed, list_capital=_capital(listed))
    for name in rng.permutation(negative)[:num_negatives]:
        phrase = PHRASES[str(name)][0]
        text += " " + str(rng.choice(_NEGATIVES)).format(name=phrase, name_capital=_capital(phrase))
    return text


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
