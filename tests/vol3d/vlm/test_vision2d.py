"""A slice in any plane is a volume of depth one that knows where it lies."""

import numpy as np
import pytest
import torch

from tokenizers3d import TokenGrid, Tokenizer
from tokenizers3d.config import TokenizerConfig
from vol3d.errors import ShapeError
from vol3d.vlm.vision2d import PLANES, cut_slice, encode_slices, token_affine, visual_of
from vol3d.volume.geometry import make_affine

IMAGE = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
AFFINE = make_affine((3.0, 2.0, 1.0), (10.0, 20.0, 30.0))


@pytest.mark.parametrize("plane", PLANES)
def test_every_pixel_stays_where_its_voxel_was(plane: str) -> None:
    picture, placed = cut_slice(IMAGE, AFFINE, plane=plane, index=2)
    for row in range(picture.shape[1]):
        for column in range(picture.shape[2]):
            vox = np.argwhere(picture[0, row, column] == IMAGE)[0]
            np.testing.assert_allclose(placed @ [0, row, column, 1], AFFINE @ [*vox, 1])


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="unknown plane"):
        cut_slice(IMAGE, AFFINE, plane="oblique", index=0)
    with pytest.raises(ShapeError, match="no axial slice 3"):
        cut_slice(IMAGE, AFFINE, plane="axial", index=3)
    with pytest.raises(ShapeError, match="no affine"):
        token_affine(TokenGrid(torch.zeros(1, 1, 1, 1, dtype=torch.long), None, 3, (8, 8, 8), (1, 8, 8)))


def test_token_affine_is_the_centre_of_each_token() -> None:
    grid = TokenGrid(torch.zeros(1, 3, 2, 2, dtype=torch.long), None, 3, (8, 8, 8), (17, 16, 16), affine=AFFINE)
    centres, affine = grid.centres_mm(), token_affine(grid).numpy()
    for index in ((1, 0, 0), (2, 1, 1)):
        np.testing.assert_allclose(affine @ [*index, 1], [*centres[index], 1], rtol=1e-6)
    # The first token along depth covers one slice: it stands 3.5 voxels further than the affine says.
    np.testing.assert_allclose(centres[0, 0, 0] - (affine @ [0, 0, 0, 1])[:3], [0, 0, 3.5 * 3.0], atol=1e-5)


def test_slices_go_through_the_same_encoder() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4))
    image = np.random.default_rng(0).uniform(-1, 1, (16, 16, 24)).astype(np.float32)
    (shown,) = encode_slices(tokenizer, [cut_slice(image, AFFINE, plane="coronal", index=5)], kind="slice")
    direct = tokenizer.encode(torch.from_numpy(image[:, 5])[None, None, None], affine=AFFINE)
    assert (shown.kind, shown.grid) == ("slice", direct.shape)
    assert torch.equal(shown.vectors, direct.vectors()[0])
    assert set(shown.vectors.unique().tolist()) == {-1.0, 1.0}
    volume = visual_of(tokenizer.encode(torch.from_numpy(image)[None, None], affine=AFFINE), kind="volume")
    assert volume.geometry.shape == (4, 4)
