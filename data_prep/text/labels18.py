"""The 18 abnormality labels of CT-RATE from report text, by rules on entities: no weights, and every label says why.

A label is 1 where at least one mention of its finding is present or uncertain, at a place where it counts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from data_prep.text.entities import Entity, extract_entities
from vol3d.volume.phantom.labels import ABNORMALITIES

# One list for reports and phantoms, in CT-RATE's order.
LABELS18 = ABNORMALITIES
_LUNG = frozenset({"lung", "pleura", "airway", ""})


@dataclass(frozen=True)
class Mention:
    """An entity with the sentence that it stands in."""

    entity: Entity
    sentence: str
    before: str
    after: str


def label_report(text: str) -> dict[str, int]:
    """The 18 labels of a report, in the corpus's order.

    >>> labels = label_report("A 4 mm nodule is seen in the right lung. Pleural effusion was not observed.")
    >>> labels["Lung nodule"], labels["Pleural effusion"]
    (1, 0)
    """
    return {name: int(bool(evidence)) for name, evidence in explain_labels(text).items()}


def explain_labels(text: str) -> dict[str, tuple[Entity, ...]]:
    """For each label the mentions that make it positive; empty means 0."""
    out: dict[str, list[Entity]] = {name: [] for name in LABELS18}
    for entity in extract_entities(text):
        if entity.assertion == "absent":
            continue
        mention = Mention(entity, *_context(text, entity))
        for label, counts in _RULES.get(entity.finding, ()):
            if counts(mention):
                out[label].append(entity)
    return {name: tuple(found) for name, found in out.items()}


def _context(text: str, entity: Entity) -> tuple[str, str, str]:
    start = max(text.rfind(". ", 0, entity.start), text.rfind('"', 0, entity.start), -1) + 1
    stops = [p for p in (text.find(". ", entity.end), text.find('"', entity.end)) if p >= 0]
    end = min(stops, default=len(text))
    return text[start:end], text[start : entity.start], text[entity.end : end]


def _always(mention: Mention) -> bool:
    return True


def _in_lung(mention: Mention) -> bool:
    return mention.entity.region in _LUNG


def _lung_nodule(mention: Mention) -> bool:
    return mention.entity.organ != "pleura" and mention.entity.region in ("lung", "airway", "heart", "")


_SCAR_WORDS = re.compile(r"seq?u?el|fibr|atele|pleuro?a?l?-?\s?par|\bband|scar|consolidat|peribronch|reticul|nodul|calcif", re.IGNORECASE)


def _opacity(mention: Mention) -> bool:
    """Ground glass and opacities always; "increased density" only where it is not called scar, collapse, band or consolidation."""
    if not _in_lung(mention):
        return False
    if "dens" not in mention.entity.text.lower():
        return True
    return not _SCAR_WORDS.search(mention.before[-60:] + mention.after[:60])


def _artery_beyond_the_coronaries(mention: Mention) -> bool:
    text = mention.entity.text.lower()
    if re.search(r"aort|arch|vascular|vessel|carotid|iliac|subclavian|brachio|mesenteric|celiac", text):
        return "pulmonary arter" not in text  # dilated aorta and pulmonary arteries, then plaques elsewhere
    if re.search(r"coronar|\bLAD\b|\bRCA\b|circumflex|anterior descending", mention.sentence):
        return False
    return mention.entity.region not in ("lung", "pleura") or "scler" in text


def _lymph_node(mention: Mention) -> bool:
    """A node in the chest, neck or armpit; not the small node inside the lung, and not the name of a station."""
    if re.match(r"\s*stations?\b", mention.after):
        return False
    return not re.search(r"(?:intra-?(?:pulmonary|parenchymal)|sub-?pleural|fissur\w*)\s*$", mention.before, re.IGNORECASE)


def _pleural(mention: Mention) -> bool:
    text = mention.entity.text.lower()
    if "pleura" in text or "thora" in text or "empyema" in text:
        return True
    return mention.entity.organ not in ("pericardium", "heart") and mention.entity.region not in ("abdomen", "bone", "neck")


def _not_under_skin(mention: Mention) -> bool:
    return mention.entity.region != "chest_wall"


_RULES: dict[str, tuple[tuple[str, Callable[[Mention], bool]], ...]] = {
    "medical_material": (("Medical material", _always),),
    "arterial_calcification": (("Arterial wall calcification", _artery_beyond_the_coronaries),),
    "cardiomegaly": (("Cardiomegaly", _always),),
    "pericardial_effusion": (("Pericardial effusion", _always),),
    "coronary_calcification": (("Coronary artery wall calcification", _always),),
    "hiatal_hernia": (("Hiatal hernia", _always),),
    "lymphadenopathy": (("Lymphadenopathy", _lymph_node),),
    "emphysema": (("Emphysema", _not_under_skin),),
    "atelectasis": (("Atelectasis", _always),),
    "nodule": (("Lung nodule", _lung_nodule),),
    "lung_opacity": (("Lung opacity", _opacity),),
    "fibrotic_sequela": (("Pulmonary fibrotic sequela", lambda m: m.entity.region in ("lung", "pleura", "airway", "heart", "")),),
    "pleural_effusion": (("Pleural effusion", _pleural),),
    "mosaic_attenuation": (("Mosaic attenuation pattern", _always),),
    "peribronchial_thickening": (("Peribronchial thickening", _always),),
    "consolidation": (("Consolidation", _always),),
    "bronchiectasis": (("Bronchiectasis", _always),),
    "septal_thickening": (("Interlobular septal thickening", _always),),
}
