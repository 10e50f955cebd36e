"""Points: where they lie in the patient, what they add and take away, by the rules of the network itself."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import VISTA3D, SegResNetDS2
from monai.networks.nets.vista3d import ClassMappingClassify, PointMappingSAM

from experts3d.cards import load_expert
from experts3d.points import Point, parse_point, points_key
from experts3d.vista3d import Vista3D
from tests.experts3d.scenes import scan_of, stored_as
from vol3d.contracts import Status
from vol3d.errors import ConfigError, ExpertError
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

_REACH = 5  # voxels of the network's grid, 7.5 mm


class Same(torch.nn.Module):
    def forward(self, image: torch.Tensor, *, with_point: bool, with_label: bool) -> tuple:
        return image if with_point else None, image if with_label else None


class LiverIsBright(torch.nn.Module):
    def forward(self, src: torch.Tensor, class_vector: torch.Tensor) -> tuple:
        answers = [torch.where(src[0] > (0.5 if int(i) == 1 else 9.0), 3.0, -3.0) for i in class_vector[:, 0]]
        return torch.stack(answers), None


class Balls(torch.nn.Module):
    """A ball around each point on the structure, without the balls around those beside it."""

    last_supported = 132

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[float]] = []

    def forward(self, out: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor, class_vector: torch.Tensor) -> torch.Tensor:
        self.seen += labels.tolist()
        axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in out.shape[-3:]), indexing="ij")
        near = [((torch.stack(axes, -1) - point) ** 2).sum(-1) <= _REACH**2 for point in coords[0]]
        on = torch.zeros(out.shape[-3:], dtype=torch.bool)
        for ball, label in sorted(zip(near, labels[0].tolist(), strict=True), key=lambda item: -(item[1] % 2)):
            on = on | ball if label % 2 else on & ~ball
        return torch.where(on, 3.0, -3.0)[None, None]


def vista(points: list[Point], head: Balls | None = None) -> Vista3D:
    network = VISTA3D(image_encoder=Same(), class_head=LiverIsBright(), point_head=head or Balls())
    return Vista3D(network=network, points=points, roi=(48, 48, 48))


def blocks() -> tuple[Volume, np.ndarray]:
    """Two bright blocks, one on each side of the patient, in a scan that is larger than a window."""
    truth = np.zeros((20, 40, 44), np.uint8)
    truth[6:14, 12:24, 4:12], truth[6:14, 12:24, 30:38] = 1, 2
    return scan_of(np.where(truth > 0, 300, -300).astype(np.int16), (3.0, 3.0, 3.0)), truth


def world(scan: Volume, index: tuple[int, int, int]) -> tuple[float, float, float]:
    return tuple(float(v) for v in (scan.affine @ [*index, 1])[:3])


def test_a_point_lands_where_it_was_put_however_the_file_is_stored(tmp_path: Path):
    scan, _ = blocks()
    place = world(scan, (10, 30, 10))
    for number, (flips, order) in enumerate([((0, 0, 0), (0, 1, 2)), ((1, 1, 0), (2, 0, 1)), ((0, 1, 1), (1, 2, 0))]):
        turned, _ = stored_as(scan, np.zeros(scan.shape, np.uint8), flips, order)
        write_volume(turned, tmp_path / f"{number}.nii.gz")
        read = read_volume(tmp_path / f"{number}.nii.gz")
        labels = vista([Point("odd_thing", place)]).segment(read, ["odd_thing"])
        where = np.argwhere(labels.mask("odd_thing"))
        centre = (labels.affine @ [*where.mean(axis=0), 1])[:3]
        assert centre == pytest.approx(place, abs=1.6)
        assert len(where) * read.voxel_ml == pytest.approx(4 / 3 * np.pi * 7.5**3 / 1000, rel=0.25)
        assert labels.status("odd_thing") is Status.FOUND


def test_voxels_of_the_file_and_millimetres_name_the_same_place():
    scan, _ = blocks()
    turned, _ = stored_as(scan, np.zeros(scan.shape, np.uint8), (1, 0, 1), (2, 0, 1))
    index = (5, 9, 31)
    by_voxel = vista([Point("odd_thing", index, space="voxel")]).segment(turned, ["odd_thing"])
    by_mm = vista([Point("odd_thing", world(turned, index))]).segment(turned, ["odd_thing"])
    assert by_voxel.mask("odd_thing").any()
    assert (by_voxel.array == by_mm.array).all()


def test_a_point_beside_a_structure_takes_that_part_away_and_leaves_the_rest():
    scan, truth = blocks()
    plain = vista([]).segment(scan, ["liver"])
    assert plain.mask("liver")[truth > 0].mean() > 0.95
    labels = vista([Point("liver", world(scan, (10, 18, 8)), positive=False)]).segment(scan, ["liver", "spleen"])
    assert labels.mask("liver")[truth == 1].mean() < 0.01
    assert labels.mask("liver")[truth == 2].mean() > 0.95
    assert labels.status("spleen") is Status.ABSENT


def test_a_point_on_a_structure_adds_to_what_the_class_found():
    scan, truth = blocks()
    labels = vista([Point("liver", world(scan, (10, 18, 21)))]).segment(scan, ["liver"])
    assert labels.mask("liver")[10, 18, 20:23].all()
    assert labels.mask("liver")[truth > 0].mean() > 0.95


def test_points_on_tumours_are_marked_as_the_network_wants_them():
    scan, _ = blocks()
    head = Balls()
    points = [Point("liver_tumour", world(scan, (10, 18, 20))), Point("liver_tumour", world(scan, (10, 18, 30)), positive=False)]
    labels = vista(points, head).segment(scan, ["liver", "liver_tumour"])
    assert {label for labels in head.seen for label in labels} == {2, 3}  # 0 and 1 are for organs
    assert labels.mask("liver_tumour").any()
    assert labels.mask("liver")[labels.mask("liver_tumour")].all()  # an organ includes its lesions


def test_a_clicked_organ_does_not_cover_a_lesion():
    scan, _ = blocks()
    spot = world(scan, (10, 18, 20))
    labels = vista([Point("liver_tumour", spot), Point("spleen", spot)]).segment(scan, ["spleen", "liver_tumour"])
    assert labels.mask("liver_tumour")[10, 18, 20]
    assert labels.status("spleen") is Status.ABSENT


def test_points_that_make_no_sense_are_refused():
    scan, _ = blocks()
    with pytest.raises(ConfigError, match="outside the scan"):
        vista([Point("liver", (500.0, 0.0, 0.0))]).segment(scan, ["liver"])
    with pytest.raises(ExpertError, match="needs a point on it"):
        vista([Point("odd_thing", (0.0, 0.0, 0.0), positive=False)])
    with pytest.raises(ExpertError, match="not to a group"):
        vista([Point("kidneys", (0.0, 0.0, 0.0))])
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_point("liver:1,2")
    with pytest.raises(ConfigError, match="name of a structure"):
        parse_point("li ver:1,2,3")


def test_the_version_names_the_points_so_that_no_cache_mixes_them_up():
    first, second = Point("liver", (0.0, 0.0, 0.0)), Point("liver", (0.0, 0.0, 0.0), positive=False)
    assert points_key([first, second]) == points_key([second, first])
    versions = {vista(points).card.version for points in ([], [first], [second], [first, second])}
    assert len(versions) == 4
    assert "odd_thing" in vista([Point("odd_thing", (0.0, 0.0, 0.0))]).card.arguments


def small_network(encoder_embed_dim: int = 48, in_channels: int = 1) -> VISTA3D:
    """The published network's parts, narrow: what `vista3d132` builds with 48 features has 218 million weights."""
    encoder = SegResNetDS2(in_channels=in_channels, blocks_down=(1, 1, 1), norm="instance", out_channels=8, init_filters=8, dsdepth=1)
    return VISTA3D(
        image_encoder=encoder, class_head=ClassMappingClassify(n_classes=512, feature_size=8, use_mlp=True),
        point_head=PointMappingSAM(feature_size=8, n_classes=512, last_supported=132),
    )  # fmt: skip


def test_from_the_command_line_with_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    from vol3d.cli.main import main

    monkeypatch.setattr("experts3d.vista3d.vista3d132", small_network)
    torch.manual_seed(0)
    torch.save(small_network().state_dict(), tmp_path / "model.pt")
    scan, _ = blocks()
    scan = scan.crop((4, 8, 0), (16, 30, 20))
    write_volume(scan, tmp_path / "scan.nii.gz")
    spot = ",".join(f"{v:.1f}" for v in world(scan, (6, 10, 8)))
    command = ["segment", str(tmp_path / "scan.nii.gz"), "--expert", "vista3d", "--weights", str(tmp_path / "model.pt"), "--json"]
    monkeypatch.setattr("experts3d.vista3d.Vista3D", partial(Vista3D, roi=(32, 32, 32)))
    out = tmp_path / "out.nii.gz"
    assert main([*command, "--point", f"liver:{spot}", "--not-point", f"liver:{spot}", "--point", f"odd_thing:{spot}", "--out", str(out)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["statuses"]) == {"liver", "odd_thing"}
    assert "with 3 points" in document["version"]
    mask = read_mask(out)
    assert mask.shape == scan.shape
    assert np.allclose(mask.affine, scan.affine)
    assert main([*command, "--point", "liver:900,0,0"]) == 2
    assert main(["segment", str(tmp_path / "scan.nii.gz"), "--expert", "threshold_ct", "--point", "liver:0,0,0"]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert "outside the scan" in errors[0]
    assert "--point belongs to --expert vista3d" in errors[-1]
    with pytest.raises(ExpertError, match="weights are not on this machine"):
        load_expert("vista3d", weights=tmp_path / "none.pt")
