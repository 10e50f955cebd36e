"""Words of CT and MR reports: findings, anatomy, sides. Written from general radiology vocabulary; regular expressions, case ignored."""

import re
from dataclasses import dataclass
from functools import cached_property

# finding -> how reports name it. Order matters only for reading: overlapping matches are all kept.
_FINDING_WORDS: dict[str, str] = {
    "medical_material": (
        r"(?:\w+[ -])?catheters?\b|\bport(?:-?a-?cath)?\b(?! hilus)|pace ?-?maker|\bstents?\b|stenting|stented|\bsutures?\b|suture (?:material|line)s?|surgical (?:clip|material|suture)s?|(?:medical|implanted|support) (?:material|device)s?|\bclips?\b"
        r"|prosthe\w+|(?:breast|dental|metallic|cochlear|silicone|orthop\w+) implants?\b|\bcannula\w*|(?:drainage|chest|endotracheal|tracheostomy|nasogastric|thorax|orogastric|feeding|intubation|nephrostomy) (?:tube|drain)s?|\bdrains?\b"
        r"|electrodes?\b|stern\w+ wires?|\bwires?\b|screws?\b|metal(?:lic)? (?:plate|material|density|densities|object|foreign|fixat\w+|suture|implant|clip|artifact|artefact)\w*"
        r"|fixat(?:or|ion)\w*|intubated|tracheostomy|pacing leads?|\bicd\b|\bbattery\b|(?:vena cava|ivc) filter|(?:hernia|surgical|synthetic) mesh|embolization (?:coil|material)\w*|\bcoils?\b"
        r"|sternotomy|by-?pass graft|(?<!bone )\bgrafts?\b|gastric band|valve replacement|foreign body|\bPEG\b|\bports?\b chamber|breast silicone|silicone"
    ),
    "arterial_calcification": (
        r"(?:calcif\w+|calcific|ather\w+)[^.;]{0,90}?(?:\baort(?:a|ic|as)\b(?! valve)|(?<!coronary )arter(?:y|ies|ial)\b|\bvascular|vessels?\b|\barch\b|carotid|iliac|subclavian|supra-?aortic|brachiocephalic|mesenteric|celiac)"
        r"|(?:\baort(?:a|ic)\b(?! valve)|(?<!coronary )arter(?:y|ies|ial)|\bvascular|\bvessels?|\barch)\b[^.;]{0,90}?(?:calcif\w+|calcific|ather\w+)|\bathero-?\s?scler\w+|\bather\w+ (?:plaque|change|calcif)\w*|(?<!non)(?<!pleural )calcifi(?:c|ed) plaques?"
    ),
    "coronary_calcification": (
        r"coronar\w+[^.;]{0,90}(?:calcif\w+|ather\w+|plaque\w*)|(?:calcif\w+|calcific|ather\w+|plaque\w*)[^.;]{0,90}(?:coronar\w+|\bLAD\b|circumflex)"
        r"|\b(?:LAD|RCA|LCX|CX|left anterior descending)\b[^.;]{0,60}(?:calcif\w+|plaque\w*|ather\w+)"
    ),
    "cardiomegaly": (
        r"cardiomegal\w+|cardiac enlargement|enlarged heart|heart enlargement|(?:heart|cardiac|CTR|cardio-?thoracic (?:ratio|index))\b(?:(?! (?:was|is|are) (?:normal|natural))[^.;,]){0,50}"
        r"(?:increas\w+|enlarge\w+|larger|above (?:the )?normal|greater than|at the upper limit|dilat\w+)|(?:increas\w+|enlarge\w+) (?:\w+ ){0,3}(?:heart|cardiac|cardiothoracic|CTR)\b"
        r"|(?:left|right|both|all|bilateral) (?:ventric\w+|atri\w+|heart (?:chamber|cavit)\w+)[^.;]{0,40}(?:dilat\w+|enlarge\w+|larger|increas\w+)"
    ),
    "pericardial_effusion": r"pericardi(?:al|um)\b[^.;]{0,40}?(?:effusion|fluid|collection)|(?:effusion|fluid|collection)(?:(?!pleura)[^.;]){0,90}pericardi(?:al|um|ac)\b|ha?emopericardium",
    "hiatal_hernia": r"(?:hiatal|hiatus|paraesophageal|diaphragmatic hiatal|sliding(?: type)?|esophageal hiatal)\s+(?:\w+ )?hernia\w*|hernia\w*[^.;]{0,40}(?:hiatus|hiatal)|stomach[^.;]{0,60}herniat\w+[^.;]{0,40}thora\w+|hiatal hernia",
    "lymphadenopathy": r"lymph ?-?aden\w+|\bLAPs?\b|\bLAMs?\b|lymph ?-?node\w*|lymphomegaly|lymph nod\w*",
    "emphysema": r"emphy?sem\w+|emphsyem\w+|\bbulla\w*|\bbullous|\bbulle\w*|\bblebs?\b|panacinar",
    "air_cyst": r"air cysts?",
    "atelectasis": r"(?<!fibro)(?<!fibro-)(?<!fibro )(?:\batele[ck]?t\w+)|lobar collapse|collapsed? (?:lung|lobe)|(?:lung|lobe|lobar|parenchymal|passive|compressive)\s+collapse|lung (?:is|was) collapsed",
    "nodule": r"\b(?:micro)?nodules?\b|\b(?:micro)?nodular (?:lesion|foc(?:us|i)|appearance|formation|densit(?:y|ies)|opacit)\w*(?! increase)|(?:intra-?(?:pulmonary|parenchymal)|sub-?pleural|fissural) lymph node\w*",
    "mass": r"\bmass(?:es)?\b(?:[- ]lesions?)?|space-occupying (?:\w+ ){0,2}lesion",
    "metastasis": r"metasta\w+",
    "lung_opacity": r"ground ?-?glass(?! (?:\w+ )?nodul)|\bGGOs?\b|frosted glass|(?<!nodular )\bopacit\w+|opacif\w+|increas\w+ (?:in )?(?:\w+ )?densit\w+|density increas\w*|densit(?:y|ies) (?:are |were )?increased|alveolar ha?emorrhage",
    "infiltration": r"infiltrat\w+",
    "ground_glass": r"ground ?-?glass|\bGGOs?\b|frosted glass",
    "fibrotic_sequela": r"seq?u?ela\w*|sequel\w*|fibr(?:osis|otic|ous)\b|fibro-?\s?(?:atel|calc|nod|cic)\w*|\bscars?\b|scarring|cicatri\w+|(?:parenchymal|fibrotic|linear) bands?\b|pleuro-?parenchymal (?:density|linear|thicken\w*)",
    "honeycombing": r"honeycomb\w*",
    "pleural_effusion": (
        r"pleural?[^.;]{0,40}?(?:effusion|fluid)|hydrothora\w*|h(?:a)?emothora\w*|hydro-?pneumothora\w*|(?<!pericardial )\beffusions?\b|empyema|fluid[^.;,]{0,30}pleural?|pleural? (?:\w+ )?(?:liquid|collection)"
    ),
    "mosaic_attenuation": r"mosaic\w*",
    "air_trapping": r"air ?-?trapping",
    "peribronchial_thickening": r"peri-?bronch\w*[^.;,]{0,40}?(?:thick\w+|cuff\w*)|thick\w+[^.;,]{0,40}?peri-?bronch\w+|bronchial cuffing|thick\w+ around (?:the )?bronch\w+",
    "bronchial_wall_thickening": r"(?<!peri)bronch\w+ ?walls?\b[^.;,]{0,40}thick\w+|thick\w+[^.;,]{0,40}(?<!peri)bronch\w+ ?walls?",
    "consolidation": r"consol\w+",
    "bronchiectasis": r"bronchi?-?ect\w+|bronchoectas\w+|bronchiolectas\w+|bronchiec\w+|bronch\w+ ectas\w+|\bectas\w+[^.;]{0,60}bronch\w+|(?:dilat\w+|enlarge\w+|widen\w+)[^.;,]{0,25}bronch(?:us|i|ial)\b|bronch(?:us|i|ial)[^.;,]{0,25}(?:dilat\w+)",
    "septal_thickening": r"(?:inter|intra)-?\s?(?:lobular|lobuler)\b[^.;]{0,30}(?:sept\w+|thick\w+|lines)|(?:inter)?sept(?:al|a|um)\b[^.;]{0,30}thick\w+|thick\w+[^.;]{0,30}\b(?:inter)?sept(?:al|a|um)\b",
    "crazy_paving": r"crazy ?-?paving",
    "pneumothorax": r"pneumothora\w*",
    "pulmonary_embolism": r"pulmonary (?:thrombo)?embol\w+|thromboembol\w+",
    "thrombus": r"filling defects?|\bthromb(?:us|osis|i)\b",
    "pneumonia": r"pneumon(?:ia|ic)\w*|infectious process|infective patholog\w+",
    "cyst": r"(?<!air )\bcysts?\b|\bcystic\b(?! bronchi)",
    "steatosis": r"steatosis|hepatosteatosis|fatty liver|(?:fat|adipos)\w* infiltration",
    "stone": r"\bcalcul(?:us|i)\b|\b(?:gall)?stones?\b|lithiasis|cholelithiasis|nephrolithiasis",
    "hepatomegaly": r"hepatomegaly|liver[^.;,]{0,25}(?:enlarged|larger)",
    "splenomegaly": r"splenomegaly|spleen[^.;,]{0,25}(?:enlarged|larger|increased)",
    "fracture": r"\bfractur\w+",
    "aneurysm": r"aneur[iy]sm\w*|ectas(?:ia|is) of the (?:\w+ )?aorta|aort\w+ ectasia",
    "degenerative_bone": r"osteophyt\w*|degenerat\w+|spondyl\w+|scoliosis|kyphosis",
    "bone_lesion": r"(?:lytic|sclerotic|blastic)[- ](?:\w+[- ])*lesions?|bone metasta\w+",
    "tumour": r"\btumou?rs?\b|\bcarcinom\w+|\bneoplas\w+|malignan\w+",
    "lesion": r"hypodense (?:\w+ )?lesions?|hyperdense (?:\w+ )?lesions?|(?:solid|focal) lesions?|h(?:a)?emangiomas?|adenomas?",
    "tree_in_bud": r"(?:tree|sprout|bud)[- ](?:in|with|and)[- ](?:bud|budding|tree)\w*|budding tree|centri(?:lobular|acinar) (?:nodul\w+|opacit\w+)",
    "bile_duct_dilatation": r"(?:dilat\w+|enlarge\w+)[^.;,]{0,50}(?:bile|biliary|hepatic) ducts?|(?:bile|biliary) ducts?[^.;,]{0,40}dilat\w+|choledoch\w*[^.;,]{0,20}dilat\w+",
    "pulmonary_artery_dilatation": r"pulmonary (?:arter\w+|trunk)[^.;,]{0,50}(?:dilat\w+|wider)|dilat\w+[^.;,]{0,40}pulmonary (?:arter\w+|trunk)",
    "soft_tissue_lesion": r"soft[- ]tissue (?:density )?(?:lesion|mass|appearance)s?|lesions? of (?:\w+ ){0,3}soft[- ]tissue|lipomas?",
    "wall_thickening": r"(?:tumou?ral |pathological )?(?<!bronchial )(?<!peribronchial )wall thick\w+",
    "pleural_thickening": r"pleura\w*[^.;,]{0,40}thick\w+|thick\w+[^.;,]{0,30}pleura\w*|pleural plaques?",
    "adrenal_thickening": r"adrenal[^.;,]{0,40}thick\w*|thick\w+[^.;,]{0,30}adrenal\w*",
    "aortic_dilatation": r"\baort\w*[^.;,]{0,60}(?:dilat\w+|ectat\w+|wider than normal)|(?:dilat\w+|ectasia)[^.;,]{0,40}\baort\w*",
    "mediastinal_shift": r"(?:mediastin\w+|heart)[^.;,]{0,40}(?:shift|displac)\w*",
    "thyroid_enlargement": r"thyroid[^.;,]{0,40}(?:larger|enlarge\w+|increas\w+)|(?:increas\w+|enlarge\w+)[^.;,]{0,40}thyroid",
}

# anatomy -> (words, region). More specific names come first: the longest match at a place wins.
_ANATOMY_WORDS: dict[str, tuple[str, str]] = {
    "lung_upper_lobe": (r"upper lobes?\b|apic\w+ segments?|apicoposterior|lingul\w+|lung apex\w*|apexes|apices", "lung"),
    "lung_middle_lobe": (r"middle lobes?\b", "lung"),
    "lung_lower_lobe": (r"lower lobes?\b|(?:postero|latero|antero|medio)basal|basal segments?|superior segments?|lung bas[ei]s", "lung"),
    "lung": (
        r"\blungs?\b|pulmonary (?:parenchyma|nodul)\w*|\bparenchym\w+ window|hemithora\w+|subpleural|intrapulmonary|pulmonary(?! (?:arter|vein|trunk|ven))|fissur\w+|ventilation|aeration",
        "lung",
    ),
    "pleura": (r"\bpleura\w*", "pleura"),
    "airway": (r"trachea\w*|bronch\w+|\bcarina\w*", "airway"),
    "heart": (r"\bheart\b|cardiac|ventric\w+|\batri(?:um|al|a)\b", "heart"),
    "pericardium": (r"pericardi\w+", "heart"),
    "coronary_artery": (r"coronar\w+|\bLAD\b|\bRCA\b|circumflex", "heart"),
    "aorta": (r"abdominal aort\w*|\baort(?:a|ic|as)\b|arcus", "mediastinum"),
    "pulmonary_artery": (r"pulmonary (?:arter\w+|trunk)|main pulmonary", "mediastinum"),
    "mediastinum": (r"mediastin\w*|paratracheal|subcarinal|prevascular|aortopulmonary|hilar\b|hilum|hilus", "mediastinum"),
    "oesophagus": (r"o?esophag\w*", "mediastinum"),
    "thyroid_gland": (r"thyroid\w*|isthmus", "neck"),
    "neck": (r"\bneck\b|cervical|supraclavicular", "neck"),
    "axilla": (r"axill\w+", "chest_wall"),
    "breast": (r"\bbreasts?\b|mammary|retroareolar", "chest_wall"),
    "chest_wall": (r"chest wall|subcutan\w+|pector\w+|skin\b|muscles?\b|thoracic wall|gluteal", "chest_wall"),
    "diaphragm": (r"diaphragm\w*", "abdomen"),
    "liver": (r"\bliver\b|hepatic\b|hepato\w+", "abdomen"),
    "gallbladder": (r"gall ?bladder|bile ducts?|choledoch\w*|biliary", "abdomen"),
    "spleen": (r"\bspleen|splenic|accessory spleen", "abdomen"),
    "pancreas": (r"pancrea\w+", "abdomen"),
    "kidney": (r"\bkidneys?\b|\brenal\b|pelvicalyceal|nephro\w+", "abdomen"),
    "adrenal_gland": (r"adrenal\w*|surrenal\w*", "abdomen"),
    "stomach": (r"\bstomach\b|gastric\b|(?:gastro|bulbus|antrum)", "abdomen"),
    "bowel": (r"\bcolon\w*|bowel|intestin\w+|duoden\w+|sigmoid|rectum|ileum|jejun\w+|appendi\w+", "abdomen"),
    "abdomen": (r"abdom\w+|peritone\w*|mesenter\w+|paraaortic|periportal|omentum|retroperiton\w*|inguinal|iliac|pelvi[sc]", "abdomen"),
    "urinary_bladder": (r"\b(?:urinary )?bladder", "abdomen"),
    "uterus": (r"uter(?:us|ine)|adnex\w+|ovar\w+|endometri\w+", "abdomen"),
    "prostate": (r"prostat\w*|seminal vesic\w+", "abdomen"),
    "bone": (r"\bbones?\b|vertebra\w*|\bribs?\b|stern(?:um|al)\b|costa\w*|clavic\w+|scapul\w+|humer\w+|end ?plates?|femor\w+|\biliac bone", "bone"),
    "brain": (r"\bbrain|cerebr\w+|cranial|intracranial", "head"),
}

_SIDES = (
    (
        "bilateral",
        r"\bbilateral\w*|\bboth (?!\w+ \w+ parts? of the (?:right|left))\w*|\bright(?: \w+){0,3} and(?: the)? left|\bleft(?: \w+){0,3} and(?: the)? right|right[ -]left|left[ -]right",
    ),
    ("right", r"\bright\b(?!-sided heart)"),
    ("left", r"\bleft\b"),
)


@dataclass(frozen=True)
class Lexicon:
    """Compiled words. One instance, `LEXICON`, serves all; a user may build another with more words."""

    findings: dict[str, str]
    anatomy: dict[str, tuple[str, str]]

    @cached_property
    def finding_patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """(finding, pattern) pairs."""
        return tuple((name, re.compile(words, re.IGNORECASE)) for name, words in self.findings.items())

    @cached_property
    def anatomy_pattern(self) -> re.Pattern[str]:
        """One pattern with a named group per organ."""
        return re.compile("|".join(f"(?P<{name}>{words})" for name, (words, _) in self.anatomy.items()), re.IGNORECASE)

    def region(self, organ: str) -> str:
        """The body region that an organ lies in."""
        return self.anatomy[organ][1]


LEXICON = Lexicon(_FINDING_WORDS, _ANATOMY_WORDS)
SIDE_PATTERN = re.compile("|".join(f"(?P<{name}>{words})" for name, words in _SIDES), re.IGNORECASE)
