"""Network experts without their weights: networks of the right shape whose answer is known, end to end through geometry, ids and orientation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import SegResNet

from experts3d.label_table import load_table
from experts3d.monai_bundle import BratsMRI, SpleenCT, WholeBodyCT
from experts3d.network import load_weights
from experts3d.sliding import stream_labels
from experts3d.vista3d import Vista3D, _Surest
from experts3d.weights import lacks_weights, weights_path
from tests.experts3d.scenes import scan_of, stored_as
from vol3d.contracts import Expert, Status
from vol3d.errors import ExpertError, GeometryError
from vol3d.volume.volume import Volume


def blocks() -> tuple[Volume, np.ndarray]:
    """A scan with a bright block on the patient's left and a brighter one on the right, and which is which."""
    truth = np.zeros((20, 40, 44), np.uint8)
    truth[4:14, 8:30, 4:16], truth[6:16, 10:32, 26:38] = 1, 2
    image = np.array([-500, 100, 300], np.int16)[truth]
    return scan_of(image, (3.0, 3.0, 3.0)), truth


class Steps(torch.nn.Module):
    """Answers the class whose interval of input values a voxel falls into."""

    def __init__(self, edges: list[float], classes: list[int], num_outputs: int) -> None:
        super().__init__()
        self.edges, self.classes, self.num_outputs = edges, classes, num_outputs

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        index = torch.bucketize(image[:, 0].contiguous(), torch.tensor(self.edges))
        ids = torch.tensor(self.classes)[index]
        return torch.nn.functional.one_hot(ids, self.num_outputs).movedim(-1, 1).float()


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


@pytest.mark.parametrize("shape", [(20, 33, 41), (40, 16, 50), (9, 9, 9)])
def test_streamed_labels_equal_the_argmax_of_all_logits(shape: tuple[int, int, int]):
    torch.manual_seed(0)
    network = SegResNet(spatial_dims=3, in_channels=1, out_channels=7, init_filters=8, blocks_down=(1, 1), blocks_up=(1,)).eval()
    image = torch.randn(1, *shape)
    with torch.inference_mode():
        logits = sliding_window_inference(image[None], (16, 16, 16), 1, network, overlap=0.5, mode="gaussian", padding_mode="constant")
        streamed = stream_labels(image, network, lambda x: x.argmax(0), num_outputs=7, roi=(16, 16, 16), overlap=0.5)
    assert streamed.shape == shape
    assert (streamed == logits[0].argmax(0).numpy()).mean() > 0.999


def test_whole_body_names_and_sides_survive_any_storage():
    scan, truth = blocks()
    table = {name: i for i, name in load_table("totalseg_v1").items()}
    network = Steps([-0.6, 0.6], [0, table["kidney_left"], table["liver"]], 105)
    expert = WholeBodyCT(network=network, roi=(32, 32, 32))
    assert isinstance(expert, Expert)
    expected = expert.segment(scan)
    assert dice(expected.mask("kidney_left"), truth == 1) > 0.97
    assert dice(expected.mask("liver"), truth == 2) > 0.97
    assert expected.statuses["spleen"] is Status.ABSENT
    assert expected.statuses["heart"] is Status.ABSENT
    turned, array = stored_as(scan, expected.array, (1, 1, 0), (2, 0, 1))
    assert (expert.segment(turned).array == array).mean() > 0.995


def test_another_voxel_size_is_brought_there_and_back():
    scan, truth = blocks()
    fine = scan_of(np.repeat(np.repeat(scan.numpy(), 2, axis=1), 2, axis=2), (3.0, 1.5, 1.5))
    table = {name: i for i, name in load_table("totalseg_v1").items()}
    labels = WholeBodyCT(network=Steps([-0.6, 0.6], [0, table["kidney_left"], table["liver"]], 105), roi=(32, 32, 32)).segment(fine, ["liver"])
    assert labels.array.shape == fine.shape
    assert dice(labels.mask("liver"), np.repeat(np.repeat(truth == 2, 2, axis=1), 2, axis=2)) > 0.93
    assert labels.statuses == {"liver": Status.FOUND}


def test_spleen_window_is_the_bundles():
    scan, truth = blocks()  # 100 HU lies within -57..164, 300 HU is clipped to 1
    labels = SpleenCT(network=Steps([0.5, 0.9], [0, 1, 0], 2)).segment(scan)
    assert dice(labels.mask("spleen")[..., :22], truth[..., :22] == 1) > 0.8
    assert not labels.mask("spleen")[8:12, 14:28, 29:35].any()


def test_sequences_are_taken_by_name_and_not_by_order():
    shape = (6, 10, 12)
    scans = {name: scan_of(np.full(shape, value, np.int16), modality="MR") for name, value in (("flair", 4), ("t1", 2), ("t2", 3), ("t1c", 1))}
    for scan in scans.values():
        scan.array[0] = 50  # a second value, so that the scan has a spread
    seen: list[torch.Tensor] = []

    class Listening(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image)
            core = torch.zeros_like(image[:, :3]) - 1
            core[:, 1, :, :, :] = 1
            return core

    main = scans.pop("t1c")
    labels = BratsMRI(sequences=scans, network=Listening()).segment(main)
    assert labels.statuses["brain_tumour"] is Status.FOUND
    assert labels.statuses["brain_tumour_enhancing"] is Status.ABSENT
    assert labels.mask("brain_tumour").all()
    assert seen[0].shape[1] == 4
    with pytest.raises(ExpertError, match="four MR sequences by name"):
        BratsMRI(sequences={"t1": main}, network=Listening())
    with pytest.raises(ExpertError, match="four MR sequences by name"):
        BratsMRI(sequences=scans | {"dwi": main}, network=Listening())
    with pytest.raises(GeometryError):
        BratsMRI(sequences=scans, network=Listening()).segment(scan_of(np.ones((6, 10, 11), np.int16), modality="MR"))


class VistaLike(torch.nn.Module):
    """Answers each class prompt by an interval of intensities: liver wide, its tumour the upper end of the same interval."""

    intervals = {1: (0.4, 1.1), 26: (0.55, 1.1), 14: (0.2, 0.4)}

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []
        self.encoded = 0

    def image_encoder(self, image: torch.Tensor, *, with_point: bool, with_label: bool) -> tuple[None, torch.Tensor]:
        self.encoded += 1
        return None, image

    def class_head(self, *, src: torch.Tensor, class_vector: torch.Tensor) -> tuple[torch.Tensor, None]:
        self.asked.append(class_vector[:, 0].tolist())
        answers = [self.intervals.get(int(i), (2.0, 3.0)) for i in class_vector[:, 0]]
        return torch.stack([torch.where((src[0] >= low) & (src[0] < high), 3.0, -3.0) for low, high in answers]), None


def test_class_prompts_come_in_groups_and_tumours_are_not_covered_by_their_organ():
    scan, truth = blocks()
    network = VistaLike()
    expert = Vista3D(network=network, roi=(32, 32, 32))
    labels = expert.segment(scan)
    assert max(len(group) for group in network.asked) <= 8
    assert len({i for group in network.asked for i in group}) == len(load_table("vista3d")) - 3
    assert dice(labels.mask("liver_tumour"), truth == 2) > 0.85  # its interval starts above the middle of the blurred edge
    assert labels.mask("liver")[labels.mask("liver_tumour")].all()
    one = Vista3D(network=VistaLike(), roi=(32, 32, 32)).segment(scan, ["kidneys", "lungs"])
    assert one.statuses == {"kidneys": Status.FOUND, "lungs": Status.ABSENT}


def test_the_real_vista_network_fits_the_adapter():
    from monai.networks.nets import vista3d132

    torch.manual_seed(0)
    scan, _ = blocks()
    small = scan.crop((0, 0, 0), (8, 8, 8))
    labels = Vista3D(network=vista3d132(encoder_embed_dim=48, in_channels=1), roi=(32, 32, 32)).segment(small, ["liver", "spleen", "liver_tumour"])
    assert labels.array.shape == (8, 8, 8)
    assert set(labels.statuses) == {"liver", "spleen", "liver_tumour"}


def test_lesions_win_only_where_they_are_likelier_than_not():
    logits = torch.tensor([[5.0, 5.0, -1.0], [0.1, -0.1, -2.0]]).reshape(2, 3, 1, 1)
    assert _Surest([1, 26], [False, True])(logits).flatten().tolist() == [26, 1, 0]


def test_weights_are_found_loaded_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path))
    assert lacks_weights("vista3d")
    assert not lacks_weights("threshold_ct")
    with pytest.raises(ExpertError, match=r"weights are not on this machine.*monai.bundle download"):
        SpleenCT()
    network = torch.nn.Conv3d(1, 2, 1)
    weights_path("spleen_ct").parent.mkdir(parents=True)
    torch.save({"model": network.state_dict()}, weights_path("spleen_ct"))
    loaded = load_weights(torch.nn.Conv3d(1, 2, 1), weights_path("spleen_ct"), how_to_get="")
    assert torch.equal(loaded.weight, network.weight)
    with pytest.raises(ExpertError, match="do not belong to this network"):
        SpleenCT()
    weights_path("spleen_ct").write_bytes(b"nonsense")
    with pytest.raises(ExpertError, match="damaged"):
        SpleenCT()


def test_wrong_modality_and_targets_are_refused():
    scan, _ = blocks()
    expert = WholeBodyCT(network=Steps([0.0], [0, 5], 105))
    with pytest.raises(ExpertError, match="no such target"):
        expert.segment(scan, ["liver_tumour"])
    with pytest.raises(ExpertError, match="needs CT"):
        expert.segment(scan_of(np.zeros((4, 4, 4), np.int16), modality="MR"))
