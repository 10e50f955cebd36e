"""Network experts without their weights: networks of the right shape whose answer is known, end to end through geometry, ids and orientation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import SegResNet

from experts3d.brats_mri import BratsMRI
from experts3d.label_table import load_table
from experts3d.network import load_weights
from experts3d.pancreas_ct import WIRING_FILE, PancreasCT, wired
from experts3d.points import Point
from experts3d.sliding import stream_labels
from experts3d.spleen_ct import SpleenCT
from experts3d.vista3d import Vista3D, _Surest
from experts3d.weights import lacks_weights, weights_path
from experts3d.wholebody_ct import WholeBodyCT
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


def head(value: float, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    """A stripped brain of 12x24x20 voxels whose left front quarter is brighter."""
    image = np.zeros((16, 32, 28), np.float32)
    image[2:14, 4:28, 4:24] = value
    image[2:14, 16:28, 4:14] = 3 * value
    return scan_of(image, spacing, modality="MR")


class Brighter(torch.nn.Module):
    """Whole tumour: where the first channel (t1c) is above its mean; enhancing: where the last (flair) is too. Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        whole = torch.where(image[:, 0] > 0.5, 1.0, -1.0)
        enhancing = torch.where((image[:, 0] > 0.5) & (image[:, 3] > 0.5), 1.0, -1.0)
        return torch.stack([enhancing, whole, enhancing], dim=1)


def test_sequences_are_taken_by_name_and_not_by_order():
    scans = {name: head(value) for name, value in (("flair", 40), ("t1", 20), ("t2", 30))}
    scans["flair"].array[:] = np.where(scans["flair"].array > 0, 40, 0)  # no bright part: nothing enhances
    network, main = Brighter(), head(10)
    labels = BratsMRI(sequences=scans, network=network, roi=(32, 32, 16)).segment(main)
    assert network.seen[0].shape[1] == 4
    assert dice(labels.mask("brain_tumour"), main.numpy() == 30) > 0.99
    assert labels.statuses["brain_tumour_enhancing"] is Status.ABSENT
    for wrong in ({"t1": main}, scans | {"dwi": main}):
        with pytest.raises(ExpertError, match="four MR sequences by name"):
            BratsMRI(sequences=wrong, network=network)
    one, other = (BratsMRI(sequences=scans | {"t1": scan}, network=network).card.version for scan in (main, scans["t1"]))
    assert one != other  # a cache must not answer with another patient's sequences


def test_the_network_sees_left_and_back_first_as_in_its_training():
    network, main = Brighter(), head(10)
    labels = BratsMRI(sequences=dict.fromkeys(("t1", "t2", "flair"), main), network=network, roi=(28, 32, 16)).segment(main)
    bright = (network.seen[0][0, 0] > 0.5).nonzero().float().mean(dim=0)  # the left front quarter
    assert bright[0] > 13.5  # x counts to the left
    assert bright[1] < 15.5  # y counts to the back
    turned, array = stored_as(main, labels.array, (1, 0, 1), (2, 1, 0))
    again = BratsMRI(sequences=dict.fromkeys(("t1", "t2", "flair"), turned), network=network, roi=(28, 32, 16)).segment(turned)
    assert (again.array == array).all()


def test_a_head_with_its_skull_is_refused_and_a_brain_mask_strips_it():
    spacing, sequences = (6.0, 6.0, 6.0), ("t1", "t2", "flair")
    whole = scan_of(head(10).numpy() + 1, spacing, modality="MR")
    with pytest.raises(ExpertError, match=r"skull-stripped.*t1c is not.*brain=MASK"):
        BratsMRI(sequences=dict.fromkeys(sequences, whole), network=Brighter()).segment(whole)
    brain = Volume((head(10).numpy() > 0).astype(np.uint8), whole.affine, "unknown", "a.u.")
    labels = BratsMRI(sequences=dict.fromkeys(sequences, whole), brain=brain, network=Brighter(), roi=(32, 32, 32)).segment(whole)
    assert dice(labels.mask("brain_tumour"), whole.numpy() == 31) > 0.9
    assert any("1 mm" in notice for notice in labels.notices)
    accepted = BratsMRI(sequences=dict.fromkeys(sequences, whole), accept=["not_skull_stripped"], network=Brighter(), roi=(32, 32, 32))
    assert accepted.segment(whole).statuses["brain_tumour"] is Status.FOUND


def test_a_sequence_on_another_grid_is_refused_or_brought_over_and_said():
    main, coarse = head(10), scan_of(head(30).numpy()[:, ::2, ::2].copy(), (1.0, 2.0, 2.0), modality="MR")
    sequences = {"t1": main, "t2": main, "flair": coarse}
    with pytest.raises(GeometryError, match=r"flair lies on another grid.*resample=True"):
        BratsMRI(sequences=sequences, network=Brighter()).segment(main)
    labels = BratsMRI(sequences=sequences, resample=True, network=Brighter(), roi=(32, 32, 16)).segment(main)
    assert labels.notices == ("flair was resampled to the scan's grid; that they are registered was not checked",)
    assert dice(labels.mask("brain_tumour_enhancing"), main.numpy() == 30) > 0.8


def searched(seed: int = 0) -> dict[str, np.ndarray]:
    """A wiring as the search writes it: the straight paths, so that every level is reached."""
    rng = np.random.default_rng(seed)
    paths = np.tile(np.array([1, 0, 1, 1, 0, 1, 1, 0, 1, 1]), (12, 1))
    return {"arch_code_a": paths, "arch_code_c": rng.integers(0, 5, (12, 10)), "node_a": np.ones((13, 4)), "best_dsc": np.float64(0.6)}


def test_pancreas_weights_and_wiring_are_read_from_their_files(tmp_path: Path):
    torch.manual_seed(0)
    torch.save(searched(), tmp_path / WIRING_FILE)
    torch.save({"model": wired(searched()).state_dict()}, tmp_path / "model.pt")
    scan, _ = blocks()
    small = scan.crop((0, 0, 0), (8, 10, 9))
    labels = PancreasCT(weights=tmp_path / "model.pt", roi=(32, 32, 32)).segment(small)
    assert labels.array.shape == small.shape
    assert set(labels.statuses) == {"pancreas", "pancreas_lesion"}
    torch.save(searched(1), tmp_path / "other.pt")
    with pytest.raises(ExpertError, match="do not belong to this network"):
        PancreasCT(weights=tmp_path / "model.pt", wiring=tmp_path / "other.pt")
    torch.save({"node_a": np.ones((3, 3))}, tmp_path / "other.pt")
    with pytest.raises(ExpertError, match="another shape"):
        PancreasCT(weights=tmp_path / "model.pt", wiring=tmp_path / "other.pt")
    torch.save({"node_a": Path("x")}, tmp_path / "other.pt")  # a pickle of anything but arrays is not run
    with pytest.raises(ExpertError, match="cannot be read"):
        PancreasCT(weights=tmp_path / "model.pt", wiring=tmp_path / "other.pt")
    (tmp_path / "other.pt").write_bytes(b"")
    with pytest.raises(ExpertError, match="cannot be read"):
        PancreasCT(weights=tmp_path / "model.pt", wiring=tmp_path / "other.pt")
    (tmp_path / WIRING_FILE).unlink()
    with pytest.raises(ExpertError, match=r"search_code_18590.pt.*pancreas_ct_dints_segmentation"):
        PancreasCT(weights=tmp_path / "model.pt")


def test_the_pancreas_includes_its_tumour():
    scan, truth = blocks()  # 100 HU is 0.65 of -87..199, 300 HU is clipped to 1
    labels = PancreasCT(network=Steps([0.5, 0.9], [0, 1, 2], 3), roi=(64, 64, 64)).segment(scan)
    assert dice(labels.mask("pancreas_lesion"), truth == 2) > 0.9
    assert labels.mask("pancreas")[truth > 0].mean() > 0.9
    assert dice(labels.mask("pancreas_parenchyma")[..., :20], truth[..., :20] == 1) > 0.75  # the blurred edge of the brighter block is cut off


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
    spot = [Point("liver", (4, 4, 4), space="voxel"), Point("odd_thing", (4, 4, 4), space="voxel")]
    expert = Vista3D(network=vista3d132(encoder_embed_dim=48, in_channels=1), points=spot, roi=(32, 32, 32))
    labels = expert.segment(small, ["liver", "spleen", "liver_tumour", "odd_thing"])
    assert labels.array.shape == (8, 8, 8)
    assert set(labels.statuses) == {"liver", "spleen", "liver_tumour", "odd_thing"}


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
