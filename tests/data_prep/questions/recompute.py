"""Every subtype's answer, computed again from voxels in a few lines of numpy that share no code with the generator.

Each function gets `s` (the scan: hu, masks by name, voxel size) and the record; it returns the answer as the record writes it.
"""

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist, pdist

LESIONS = {
    "liver lesion": ("liver_tumour", "liver_cyst"),
    "liver tumour": ("liver_tumour",),
    "liver cyst": ("liver_cyst",),
    "kidney lesion": ("kidney_tumour_left", "kidney_tumour_right", "kidney_cyst_left", "kidney_cyst_right"),
    "kidney tumour": ("kidney_tumour_left", "kidney_tumour_right"),
    "kidney cyst": ("kidney_cyst_left", "kidney_cyst_right"),
    "pancreatic lesion": ("pancreas_pdac", "pancreas_pnet", "pancreas_cyst"),
    "pancreatic tumour": ("pancreas_pdac", "pancreas_pnet"),
    "pancreatic cyst": ("pancreas_cyst",),
    "colon lesion": ("colon_tumour",),
}
OF_ORGAN = {"liver": "liver lesion", "kidney": "kidney lesion", "pancreas": "pancreatic lesion", "colon": "colon lesion"}


class Scan:
    def __init__(self, volume, labels):
        self.hu, self.labels, self.mm = volume.numpy(), labels, volume.spacing_mm
        self.ml = float(np.prod(self.mm)) / 1000

    def m(self, *names):
        return np.isin(self.labels.array, [i for n in names for i in self.labels.ids(n)])

    def vol(self, *names):
        return self.m(*names).sum() * self.ml

    def mean(self, name):
        return self.hu[self.m(name)].mean(dtype=float)

    def parts(self, lesion):
        numbers, n = ndimage.label(self.m(*LESIONS[lesion]), np.ones((3, 3, 3)))
        return sorted((numbers == i for i in range(1, n + 1)), key=lambda p: -p.sum())


def yes(condition):
    return "yes" if condition else "no"


def lesion_in(record):
    """The lesion class that the wording names (plural or not)."""
    return next(n for n in sorted(LESIONS, key=len, reverse=True) if n in record["question"])


def diameter(s, part):
    planes = [np.argwhere(p) * s.mm[1:] for p in part if p.any()]
    longest = max((pdist(p).max() for p in planes if len(p) > 1), default=0.0)
    return max(longest + 0.5 * (s.mm[1] * s.mm[2]) ** 0.5, min(s.mm[1:]))


def segments(s, organ):
    """Segment name -> mask, by the documented rule: labelled liver segments, else thirds of the extent."""
    if organ == "liver" and s.m("liver_segment_1").any():
        return {f"segment {i}": s.m(f"liver_segment_{i}") for i in range(1, 9)}
    if organ == "kidney":
        return segments(s, "kidney_left") | segments(s, "kidney_right")
    mask, axis = s.m(organ), 0 if "kidney" in organ else 2
    names = ("lower third", "middle third", "upper third") if axis == 0 else ("left third", "middle third", "right third")
    where = np.nonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[0]
    low, size = where.min(), where.max() + 1 - where.min()
    said = {"kidney_left": "left kidney", "kidney_right": "right kidney"}.get(organ, organ)
    at = np.arange(mask.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    cuts = [low + round(i * size / 3) for i in range(4)]
    return {f"{n} of the {said}": mask & (at >= a) & (at < b) for n, a, b in zip(names, cuts[:-1], cuts[1:], strict=True)}


def place(s, part, organ):
    votes = {n: (m & part).sum() for n, m in segments(s, organ).items()}
    if not any(votes.values()):
        rim = ndimage.binary_dilation(part, np.ones((3, 3, 3))) & ~part
        votes = {n: (m & rim).sum() for n, m in segments(s, organ).items()}
    return max(votes, key=votes.get)


def structure(words):
    left, right = words.startswith("left "), words.startswith("right ")
    base = words.removeprefix("left ").removeprefix("right ").replace(" ", "_")
    fixed = {"portal_and_splenic_vein": "portal_vein_and_splenic_vein", "oesophagus": "esophagus"}
    if "vertebra" in words:
        return f"vertebrae_{words.split()[0]}"
    return fixed.get(base, base) + ("_left" if left else "_right" if right else "")


def side_volumes(s):
    kidneys = {side: np.argwhere(s.m(f"kidney_{side}")) for side in ("left", "right")}
    middle = {side: (k.min(0) + k.max(0)) / 2 * s.mm for side, k in kidneys.items()}
    out = {"left": 0.0, "right": 0.0}
    for part in s.parts("kidney lesion"):
        w = np.argwhere(part)
        centre = (w.min(0) + w.max(0)) / 2 * s.mm
        out[min(middle, key=lambda k: np.linalg.norm(middle[k] - centre))] += part.sum() * s.ml
    return out


def contact(s, part, vessel):
    best = 0.0
    for v, p in zip(s.m(vessel), part, strict=True):
        rim = v & ~ndimage.binary_erosion(v)
        if p.any() and rim.any():
            best = max(best, 360 * np.mean(cdist(np.argwhere(rim), np.argwhere(p), "chebyshev").min(1) <= 1))
    return best


def host_of(s, record, part):
    if record["organ"] != "kidney":
        return record["organ"]
    near = {side: cdist(np.argwhere(part)[:1], np.argwhere(s.m(f"kidney_{side}"))).min() for side in ("left", "right")}
    return f"kidney_{min(near, key=near.get)}"


def around(s, record, part):
    host, lesions = host_of(s, record, part), LESIONS[OF_ORGAN[record["organ"]]]
    return s.hu[s.m(host) & ~s.m(*lesions)].mean(dtype=float)


def neighbour(s, record):
    part = s.parts(OF_ORGAN[record["organ"]])[0]
    host, points = host_of(s, record, part), np.argwhere(part) * s.mm
    names = "liver spleen kidney_left kidney_right pancreas gallbladder stomach duodenum colon small_bowel urinary_bladder adrenal_gland_left adrenal_gland_right heart"
    far = {n: cdist(points, np.argwhere(s.m(n)) * s.mm).min() for n in names.split() if n not in (host, record["organ"]) and s.m(n).any()}
    return min(far, key=far.get)


def clustering(s, _record):
    places = [place(s, p, "liver") for p in s.parts("liver lesion")]
    counts = sorted((places.count(n) for n in set(places)), reverse=True)
    if counts[0] / len(places) > 0.5:
        return "highly clustered"
    return "somewhat clustered" if sum(counts[:2]) / len(places) >= 0.75 else "widely distributed"


def burdens(s, _record):
    total = {
        "liver": s.vol(*LESIONS["liver lesion"]),
        "kidneys": s.vol(*LESIONS["kidney lesion"]),
        "pancreas": s.vol(*LESIONS["pancreatic lesion"]),
        "colon": s.vol("colon_tumour"),
    }
    return max(total, key=total.get)


def asymmetry(s, _record):
    v = side_volumes(s)
    small, big = sorted(v.values())
    return "similar on both sides" if small and big / small < 2 else f"{max(v, key=v.get)} kidney"


def grade(s, _record):
    liver, ratio = s.mean("liver"), s.mean("liver") / s.mean("spleen")
    return "grade 3" if liver < 39 or ratio < 0.5 else "grade 2" if liver < 51 or ratio < 0.8 else "grade 1" if liver < 58 or ratio < 1 else "grade 0"


def stage(s, _record):
    part = (s.parts("pancreatic tumour") or s.parts("pancreatic lesion"))[0]
    if contact(s, part, "superior_mesenteric_artery") > 0:
        return "T4"
    mm = diameter(s, part)
    return "T1" if mm <= 20 else "T2" if mm <= 40 else "T3"


def resect(s, _record):
    part = s.parts("pancreatic lesion")[0]
    artery, vein = contact(s, part, "superior_mesenteric_artery"), contact(s, part, "portal_vein_and_splenic_vein")
    return "unresectable" if artery > 180 else "borderline resectable" if artery > 0 or vein > 180 else "resectable"


def renal(s, _record):
    mean = s.hu[s.parts("kidney lesion")[0]].mean(dtype=float)
    return "simple cyst" if mean <= 20 else "indeterminate mass" if mean <= 70 else "hyperattenuating cyst"


def fatty(s, _record):
    ratio = s.mean("liver") / s.mean("spleen")
    return "no fatty liver" if ratio >= 1 else "moderate to severe fatty liver" if s.mean("liver") < 40 else "mild fatty liver"


def attenuation(s, record):
    part = s.parts(OF_ORGAN[record["organ"]])[0]
    d = s.hu[part].mean(dtype=float) - around(s, record, part)
    return "isoattenuating" if abs(d) <= 10 else "hyperattenuating" if d > 0 else "hypoattenuating"


def outlier(s, record):
    v = [p.sum() for p in s.parts(OF_ORGAN[record["organ"]])]
    return yes(len(v) >= 3 and v[0] >= 3 * v[1])


def burden(s, record):
    hosts = ("kidney_left", "kidney_right") if record["organ"] == "kidney" else (record["organ"],)
    return 100 * s.vol(*LESIONS[OF_ORGAN[record["organ"]]]) / sum(s.vol(h) for h in hosts)


def size_grade(s, _record):
    return ("normal", "mild splenomegaly", "moderate splenomegaly", "severe splenomegaly")[sum(s.vol("spleen") > x for x in (314.5, 500, 800))]


UPPER = {"liver": 1800, "spleen": 314.5, "kidney_left": 260, "kidney_right": 260, "pancreas": 100}
pair = lambda record: record["organ"].split("/")  # noqa: E731 - one expression, used in the table below
first_part = lambda s, record: s.parts(OF_ORGAN[record["organ"]])[0]  # noqa: E731

CHECKS = {
    **{
        f"{name} existence": (lambda s, r, n=names: yes(s.m(*n).any()))
        for name, names in {
            "liver lesion": LESIONS["liver lesion"], "kidney lesion": LESIONS["kidney lesion"], "kidney tumor": LESIONS["kidney tumour"], "kidney cyst": LESIONS["kidney cyst"],
            "pancreatic lesion": LESIONS["pancreatic lesion"], "colon lesion": ("colon_tumour",), "PDAC": ("pancreas_pdac",), "PNET": ("pancreas_pnet",),
        }.items()
    },
    "splenomegaly detection": lambda s, r: yes(s.vol("spleen") > 314.5),
    "organ volume measurement": lambda s, r: s.vol(r["organ"]),
    "organ HU measurement": lambda s, r: s.mean(r["organ"]),
    "lesion volume measurement": lambda s, r: first_part(s, r).sum() * s.ml,
    "organ HU ratio": lambda s, r: s.mean(pair(r)[0]) / s.mean(pair(r)[1]),
    "tumor burden percentage": burden,
    "lesion counting": lambda s, r: len(s.parts(lesion_in(r))),
    "lesion count by location": lambda s, r: [place(s, p, r["organ"]) for p in s.parts(OF_ORGAN[r["organ"]])].count(max((n for n in segments(s, r["organ"]) if n in r["question"]), key=len)),
    "organ aggregation": lambda s, r: s.vol(pair(r)[0]) + s.vol(pair(r)[1]),
    "tumor organ HU difference": lambda s, r: s.hu[first_part(s, r)].mean(dtype=float) - around(s, r, first_part(s, r)),
    "largest lesion diameter": lambda s, r: diameter(s, first_part(s, r)),
    "largest lesion slice": lambda s, r: int(first_part(s, r).sum(axis=(1, 2)).argmax()),
    "largest lesion location": lambda s, r: place(s, first_part(s, r), r["organ"]),
    "largest lesion attenuation": attenuation,
    "kidney volume comparison": lambda s, r: "left kidney" if s.vol("kidney_left") > s.vol("kidney_right") else "right kidney",
    "bilateral kidney asymmetry": asymmetry,
    "multi-organ lesion burden comparison": burdens,
    "inter-segment comparison": lambda s, r: max((n for n in segments(s, r["organ"]) if n in r["question"]), key=lambda n: segments(s, r["organ"])[n].sum()),
    "adjacent organ": lambda s, r: neighbour(s, r).replace("_", " "),
    "lesion outlier": outlier,
    "liver lesion clustering": clustering,
    "organ enlargement": lambda s, r: yes(s.vol(r["organ"]) > UPPER[r["organ"]]),
    "splenomegaly grading": size_grade,
    "PDAC vs PNET classification": lambda s, r: "PDAC" if s.m("pancreas_pdac").any() else "PNET",
    "pancreatic tumor staging": stage,
    "pancreatic lesion resectability": resect,
    "pancreatic cyst resectability": lambda s, r: yes(s.parts("pancreatic cyst")[0].sum() * s.ml > 3 or diameter(s, s.parts("pancreatic cyst")[0]) > 30),
    "fatty liver": fatty,
    "hepatic steatosis grading": grade,
    "pancreatic steatosis": lambda s, r: yes(s.mean("pancreas") / s.mean("spleen") < 0.7),
    "lesion type classification": lambda s, r: "tumour" if s.hu[s.parts("kidney lesion")[0]].mean(dtype=float) > 34.8 else "cyst",
    "renal mass characterization": renal,
    "pseudocyst determination": lambda s, r: yes(s.hu[s.parts("pancreatic cyst")[0]].mean(dtype=float) > 14.5),
    "portal hypertension assessment": lambda s, r: yes(s.vol("spleen") > 314.5 and s.vol("liver_segment_1") / s.vol(*[f"liver_segment_{i}" for i in range(5, 9)]) > 0.65),
}  # fmt: skip
