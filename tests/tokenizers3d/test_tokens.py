from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.tokenizers3d.conftest import make_tokenizer, random_volume
from tokenizers3d.errors import CheckpointError
from tokenizers3d.tokens import read_tokens, write_tokens


@pytest.mark.parametrize(
    "settings", [{}, {"quantizer": "fsq", "quantizer_args": {"levels": [8, 5, 5]}}, {"quantizer": "identity", "quantizer_args": {"num_channels": 3}}]
)
def test_tokens_come_back(settings: dict[str, object], tmp_path: Path) -> None:
    tokenizer = make_tokenizer(**settings)
    grid = tokenizer.encode(random_volume(2, 10, 20, 16), affine=np.diag([2.0, 1, 1, 1]))
    write_tokens(tmp_path / "a.tokens", grid, provenance={"scan": "x"})
    back, provenance = read_tokens(tmp_path / "a.tokens")
    assert provenance == {"scan": "x"}
    assert torch.equal(back.vectors(), grid.vectors())
    assert (back.shape_vox, back.mode, back.tokenizer_id, back.levels) == (grid.shape_vox, grid.mode, grid.tokenizer_id, grid.levels)
    assert np.array_equal(back.affine, grid.affine)
    assert torch.equal(tokenizer.decode(back), tokenizer.decode(grid))


def test_a_token_takes_its_bits_and_no_more(tmp_path: Path) -> None:
    grid = make_tokenizer().encode(random_volume(1, 33, 64, 64))
    write_tokens(tmp_path / "a.tokens", grid)
    packed = -(-grid.num_tokens * 18 // 8)
    assert packed < (tmp_path / "a.tokens").stat().st_size < packed + 1000


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tokens"
    write_tokens(path, make_tokenizer().encode(random_volume(1, 9, 16, 16)))
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40], b""):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_tokens(path)
    flipped = bytearray(content)
    flipped[-2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(CheckpointError, match="not those that were saved"):
        read_tokens(path)
    save_file({"codes": torch.zeros(3, dtype=torch.uint8)}, path)
    with pytest.raises(CheckpointError, match="not a file of tokens"):
        read_tokens(path)
    make_tokenizer().save(path)
    with pytest.raises(CheckpointError, match="not a file of tokens"):
        read_tokens(path)
