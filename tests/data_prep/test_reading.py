import json
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from data_prep.preparation import prepare
from vol3d.errors import CheckpointError, ConfigError
from vol3d.volume.corpus import CorpusDataset, ResumableSampler, collate, read_box
from vol3d.volume.intensity import normalize
from vol3d.volume.manifest import mask_key


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, folder = tmp_path_factory.mktemp("phantoms"), tmp_path_factory.mktemp("made") / "store"
    (root / "phantoms.json").write_text(json.dumps({"num": 4, "shape_zyx": [40, 48, 48], "spacing_mm": [8, 8, 8]}), encoding="utf-8")
    prepare("phantom", root, folder, fractions={"train": 1.0})
    return folder


def test_whole_scan_is_what_is_stored(store: Path) -> None:
    sample = CorpusDataset(store, with_masks=True)[1]
    dataset = CorpusDataset(store)
    assert np.array_equal(sample.image[0].numpy(), normalize(dataset.volume(1).numpy(), "ct_wide"))
    assert sample.mask is not None
    assert sample.mask.shape == dataset.volume(1).shape
    assert sample.row.synthetic
    assert (store / mask_key(sample.row)).is_dir()


def test_crops_are_the_same_for_any_number_of_workers_and_other_in_each_epoch(store: Path) -> None:
    def starts(workers: int, epoch: int) -> list[tuple[int, int, int]]:
        dataset = CorpusDataset(store, crop_vox=(16, 16, 16), foreground=0.5, seed=3)
        dataset.set_epoch(epoch)
        loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=collate)
        return [s for batch in loader for s in batch["start_vox"]]

    assert starts(0, 0) == starts(2, 0)
    assert starts(0, 0) != starts(0, 1)


def test_crop_says_where_it_lies(store: Path) -> None:
    dataset = CorpusDataset(store, crop_vox=(16, 20, 24), with_masks=True)
    sample, whole = dataset[0], dataset.volume(0)
    z, y, x = sample.start_vox
    assert np.array_equal(sample.image[0].numpy(), normalize(whole.numpy()[z : z + 16, y : y + 20, x : x + 24], "ct_wide"))
    assert np.allclose(sample.affine @ [0, 0, 0, 1], whole.affine @ [z, y, x, 1])


def test_foreground_crops_hold_a_labelled_voxel(store: Path) -> None:
    dataset = CorpusDataset(store, crop_vox=(12, 12, 12), with_masks=True, foreground=1.0)
    for epoch in range(5):
        dataset.set_epoch(epoch)
        for index in range(len(dataset)):
            mask = dataset[index].mask
            assert mask is not None
            assert mask.any()


def test_crop_larger_than_the_scan_is_padded_with_air(store: Path) -> None:
    image = CorpusDataset(store, crop_vox=(64, 64, 64))[0].image[0].numpy()
    assert image.shape == (64, 64, 64)
    assert (image[0] == -1).all()
    assert image.max() > 0


@pytest.mark.parametrize("start", [(-3, 0, 2), (0, 0, 0), (5, 5, 5), (9, 0, 0)])
def test_box_equals_padded_slicing(start: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).integers(0, 9, (6, 7, 8))
    padded = np.pad(array, 12, constant_values=-1)
    z, y, x = (s + 12 for s in start)
    assert np.array_equal(read_box(array, start, (4, 5, 6), fill=-1), padded[z : z + 4, y : y + 5, x : x + 6])


def test_sampler_goes_on_in_the_middle_and_refuses_another_run() -> None:
    sampler = ResumableSampler(11, seed=5)
    sampler.next_epoch()
    order = list(sampler)
    sampler.advance(4)
    resumed = ResumableSampler(11, seed=5)
    resumed.load_state_dict(sampler.state_dict())
    assert list(resumed) == order[4:]
    assert len(resumed) == 7
    with pytest.raises(CheckpointError):
        ResumableSampler(12, seed=5).load_state_dict(sampler.state_dict())
    ranks = [list(ResumableSampler(11, seed=5, rank=r, world_size=2)) for r in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(11))


def test_options_that_exclude_each_other(store: Path) -> None:
    with pytest.raises(ConfigError):
        CorpusDataset(store, preset="merlin", crop_vox=(8, 8, 8))
    with pytest.raises(ConfigError):
        CorpusDataset(store, split="nowhere")
    assert CorpusDataset(store, preset="m3d")[0].image.shape == (1, 32, 256, 256)
