"""Where lesions go: hosts, sides and centres, in anatomical mm, from the same shapes that are painted."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vol3d.errors import ConfigError
from vol3d.volume.phantom.abdomen import gallbladder_shape, kidney_shape, liver_mask, pancreas_shape
from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Region, Warp
from vol3d.volume.phantom.lesions import ELLIPSOIDS, KINDS, density_hu, draw_diameters, structure_name
from vol3d.volume.phantom.phantom import Lesion
from vol3d.volume.phantom.places import STATIONS, place_words, tone_word
from vol3d.volume.phantom.shapes import rotation_xyz
from vol3d.volume.phantom.skeleton import CENTRES
from vol3d.volume.phantom.structures import CT_IDS, LOBES
from vol3d.volume.phantom.thorax import lobes, lung_mask
from vol3d.volume.phantom.trunk import spine_y

# Anatomical z (mm) within which lesions are drawn, per field of view: what its smallest usual grid still shows.
REACH = {"chest": (-15.0, 245.0), "abdomen": (-215.0, 55.0), "chest_abdomen": (-72.0, 222.0)}
_LIKELY = 0.35


def draw_lesions(build: Build, region: str) -> tuple[Lesion, ...]:
    """What this patient has: nothing in 15% of patients, else each kind with probability 0.35."""
    rng = build.rng(f"lesions/{region}")
    if rng.random() < 0.15:
        return ()
    out: list[Lesion] = []
    for kind, facts in KINDS.items():
        present, count = rng.random() < _LIKELY, int(rng.integers(1, facts.most + 1))
        if not present or region not in facts.regions:
            continue
        if kind == "emphysema":
            amount = round(float(rng.uniform(0.25, 1.0)), 2)
            out += [Lesion(kind, side=side, host=f"lung_upper_lobe_{side}", amount=amount) for side in ("left", "right")]
        elif kind == "pleural_effusion":
            sides = ("left", "right") if count == 2 else (("left", "right")[int(rng.integers(2))],)
            out += [Lesion(kind, side=side) for side in sides]
        else:
            out += [Lesion(kind)] * count
    return tuple(out)


def place_lesions(asked: Sequence[Lesion], build: Build, warp: Warp, region: str) -> tuple[Lesion, ...]:
    """Fill in what was left open: side, host, size, density, centre. Centres keep clear of each other where there is room."""
    placed: list[Lesion] = []
    for number, lesion in enumerate(asked):
        if lesion.kind not in KINDS:
            raise ConfigError("unknown kind of lesion on a CT phantom", expected=", ".join(KINDS), found=lesion.kind)
        rng = build.rng(f"lesion/{region}/{number}/{lesion.kind}")
        diameters = lesion.diameters_mm or (draw_diameters(lesion.kind, rng) if KINDS[lesion.kind].diameter_mm else None)
        density = density_hu(lesion.kind, build, rng) if lesion.density_hu is None else lesion.density_hu
        amount = lesion.amount
        if amount is None and lesion.kind in (
            "pleural_effusion",
            "pericardial_effusion",
            "emphysema",
            "coronary_calcification",
            "aortic_calcification",
        ):
            amount = round(float(rng.uniform(0.12, 0.95)), 2)
        lesion = replace(lesion, diameters_mm=diameters, density_hu=density, amount=amount)
        lesion = _place_one(lesion, rng, build, warp, REACH[region], placed)
        volume = float(np.prod(lesion.diameters_mm)) * np.pi / 6000 if lesion.diameters_mm and lesion.kind in ELLIPSOIDS else None
        point = warp.points(np.array([lesion.centre_ras_mm]))[0] if lesion.centre_ras_mm else None
        name = structure_name(lesion.kind, lesion.side)
        placed.append(replace(lesion, structure=name, volume_ml=volume, place=place_words(lesion, point, build), tone=tone_word(lesion, build)))
    return tuple(placed)


def _place_one(lesion: Lesion, rng: np.random.Generator, build: Build, warp: Warp, reach: tuple[float, float], placed: list[Lesion]) -> Lesion:
    side = lesion.side or (lesion.host.rsplit("_", 1)[-1] if lesion.host and lesion.host.endswith(("left", "right")) else None)
    if lesion.centre_ras_mm is not None:
        return _describe_place(lesion, warp.points(np.array([lesion.centre_ras_mm]))[0], build)
    drawn_side = ("left", "right")[int(rng.integers(2))]
    if lesion.kind in ("pleural_effusion",):
        return replace(lesion, side=side or drawn_side)
    if lesion.kind in ("pericardial_effusion", "coronary_calcification", "aortic_calcification"):
        return replace(lesion, host={"coronary_calcification": "heart", "aortic_calcification": "aorta"}.get(lesion.kind))
    if lesion.kind == "emphysema":
        host = lesion.host or f"lung_upper_lobe_{side or drawn_side}"
        return replace(lesion, host=host, side=host.rsplit("_", 1)[-1])
    lesion = replace(lesion, side=side)
    candidates, hosts = _candidates(lesion, rng, build, side or drawn_side, reach)
    world = warp.inverse(candidates)
    clear = _clearance(world, lesion, placed)
    best = int(np.argmax(clear > 0)) if (clear > 0).any() else int(np.argmax(clear))
    centre = tuple(float(round(v, 2)) for v in world[best])
    host = hosts[best]
    own_side: str | None = host.rsplit("_", 1)[-1] if host.endswith(("left", "right")) else None
    return replace(lesion, centre_ras_mm=centre, host=host, side=own_side)  # type: ignore[arg-type]


def _clearance(world: np.ndarray, lesion: Lesion, placed: list[Lesion]) -> np.ndarray:
    """Gap in mm between a lesion at each point and the nearest one that is already there."""
    out = np.full(len(world), np.inf)
    own = max(lesion.diameters_mm or (0.0,)) / 2
    for other in placed:
        if other.centre_ras_mm is not None and other.diameters_mm is not None:
            gap = np.linalg.norm(world - np.array(other.centre_ras_mm), axis=1) - own - max(other.diameters_mm) / 2 - 4.0
            out = np.minimum(out, gap)
    return out


def _describe_place(lesion: Lesion, point: np.ndarray, build: Build) -> Lesion:
    """Host and side of a lesion whose centre was given."""
    side = lesion.side or ("right" if point[0] > 0 else "left")
    if lesion.kind.startswith("kidney"):
        return replace(lesion, side=side, host=lesion.host or f"kidney_{side}")
    if lesion.kind in ("lung_nodule", "lung_ground_glass_nodule", "consolidation", "atelectasis", "emphysema"):
        host = lesion.host or _lobe_names(point[None], build)[0]
        return replace(lesion, host=host, side=host.rsplit("_", 1)[-1])
    if lesion.kind == "bone_lesion":
        return replace(lesion, host=lesion.host or min(CENTRES, key=lambda name: abs(CENTRES[name] - point[2])))
    if lesion.kind == "lymph_node":
        return replace(lesion, host=lesion.host or min(STATIONS, key=lambda name: float(np.linalg.norm(np.array(STATIONS[name]) - point))))
    organ = {"liver_tumour": "liver", "liver_cyst": "liver", "pancreas_lesion": "pancreas", "hiatal_hernia": "hiatus"}.get(lesion.kind)
    return replace(lesion, host=lesion.host or organ)


def _candidates(lesion: Lesion, rng: np.random.Generator, build: Build, side: str, reach: tuple[float, float]) -> tuple[np.ndarray, list[str]]:
    """Possible centres in anatomical mm, best first, with the host of each."""
    kind = lesion.kind
    if kind in ("liver_tumour", "liver_cyst"):
        box = np.array([[-70, -80, -55], [135, 95, 80]], float)
        return _inside(lesion, rng, build, box, reach, _free_liver, ["liver"])
    if kind in ("lung_nodule", "lung_ground_glass_nodule", "consolidation", "atelectasis"):
        return _in_lung(lesion, rng, build, reach)
    if kind.startswith("kidney"):
        return _in_kidney(lesion, rng, build, side)
    if kind == "pancreas_lesion":
        tube = pancreas_shape(build)
        return rng.permutation(np.array(tube.points[1:-1])), ["pancreas"] * (len(tube.points) - 2)
    if kind == "hiatal_hernia":
        return np.array([[-12.0, -16.0, 84.0]]) + rng.normal(0, 2, 3), ["hiatus"]
    if kind == "lymph_node":
        names = [n for n, p in STATIONS.items() if reach[0] <= p[2] <= reach[1] and lesion.host in (None, n)] or list(STATIONS)
        names = [names[i] for i in rng.permutation(len(names))]
        return np.array([STATIONS[n] for n in names]) + rng.normal(0, 1.5, (len(names), 3)), names
    names = [n for n, z in CENTRES.items() if reach[0] <= z <= reach[1] and lesion.host in (None, n)] or list(CENTRES)
    names = [names[i] for i in rng.permutation(len(names))]
    z = np.array([CENTRES[n] for n in names])
    return np.column_stack([rng.uniform(-4, 4, len(z)), spine_y(z)[:, 0, 0] + rng.uniform(-2, 2, len(z)), z]), names


def _free_liver(region: Region, build: Build) -> np.ndarray:
    """The liver without the bed of the gallbladder."""
    return liver_mask(region, build) & ~gallbladder_shape(build).grown(2.0).inside(region.x, region.y, region.z)


def _surface(lesion: Lesion) -> np.ndarray:
    directions = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)], float)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return directions / np.maximum(norms, 1) * (np.array(lesion.diameters_mm) / 2 + 1.0)


def _inside(
    lesion: Lesion,
    rng: np.random.Generator,
    build: Build,
    box: np.ndarray,
    reach: tuple[float, float],
    mask: Callable[[Region, Build], np.ndarray],
    hosts: list[str],
) -> tuple[np.ndarray, list[str]]:
    """Random points of a box, those first whose whole lesion lies inside the mask."""
    low, high = box[0].copy(), box[1].copy()
    low[2], high[2] = max(low[2], reach[0]), min(high[2], reach[1])
    if high[2] - low[2] < 10:
        low[2], high[2] = box[0][2], box[1][2]
    points = rng.uniform(low, high, (160, 3))
    points = points[mask(Region.of_points(points), build)[:, 0, 0]]
    around = (points[:, None, :] + _surface(lesion)[None]).reshape(-1, 3)
    held = mask(Region.of_points(around), build)[:, 0, 0].reshape(len(points), -1).mean(axis=1)
    order = np.argsort(-np.round(held, 1), kind="stable") if held.max() < 1 else np.nonzero(held == 1)[0]
    return points[order], hosts * len(order)


def _in_lung(lesion: Lesion, rng: np.random.Generator, build: Build, reach: tuple[float, float]) -> tuple[np.ndarray, list[str]]:
    wanted = [lesion.host] if lesion.host else [lobe for lobe in LOBES if lesion.side is None or lobe.endswith(lesion.side)]
    if lesion.kind == "atelectasis" and lesion.host is None:
        wanted = [lobe for lobe in wanted if "lower" in lobe]
    wanted = [wanted[i] for i in rng.permutation(len(wanted))]
    box = np.array([[-130, -90, -20], [130, 85, 255]], float)

    def mask(region: Region, patient: Build) -> np.ndarray:
        return lung_mask(region, patient) & (lobes(region, patient)[0] == CT_IDS[f"{wanted[0]}_parenchyma"])

    if wanted[0].endswith("left"):
        box[1, 0] = 0.0
    else:
        box[0, 0] = 0.0
    if lesion.kind in ("consolidation", "atelectasis"):
        lesion = replace(lesion, diameters_mm=tuple(v * 0.6 for v in lesion.diameters_mm or ()))  # type: ignore[arg-type]
    return _inside(lesion, rng, build, box, reach, mask, [wanted[0]])


def _in_kidney(lesion: Lesion, rng: np.random.Generator, build: Build, side: str) -> tuple[np.ndarray, list[str]]:
    """Near the outer surface, away from the sinus: kidneys' lesions bulge."""
    kidney, _ = kidney_shape(build, side)
    direction = rng.normal(0, 1, (24, 3))
    direction[:, 0] = np.abs(direction[:, 0]) * (-1 if side == "left" else 1)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = 0.66 if max(lesion.diameters_mm or (0,)) < 22 else 0.85
    points = np.array(kidney.centre) + (direction * np.array(kidney.semi) * depth) @ rotation_xyz(kidney.turn).T
    return points, [f"kidney_{side}"] * len(points)


def _lobe_names(points: np.ndarray, build: Build) -> list[str]:
    ids = lobes(Region.of_points(points), build)[0][:, 0, 0]
    by_id = {CT_IDS[f"{lobe}_parenchyma"]: lobe for lobe in LOBES}
    return [by_id[int(i)] for i in ids]
