import json
import re
from pathlib import Path

import pytest
import torch

from data_prep.encode import encode_store, tokens_path
from data_prep.preparation import prepare
from tests.tokenizers3d.conftest import make_tokenizer
from tokenizers3d.tokens import read_tokens, write_tokens
from vol3d.errors import CheckpointError, ConfigError
from vol3d.training.tokens import TokenDataset
from vol3d.volume.manifest import read_manifest


def test_stored_tokens_come_back_and_others_are_refused(tmp_path: Path) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    root.mkdir()
    (root / "phantoms.json").write_text(json.dumps({"num": 2, "shape_zyx": [24, 32, 32], "spacing_mm": [12, 12, 12]}), encoding="utf-8")
    prepare("phantom", root, store, fractions={"train": 1.0})
    tokenizer = make_tokenizer()
    key = encode_store(store, tokenizer).key
    data = TokenDataset(store, key, tokenizer_id=tokenizer.tokenizer_id)
    rows = read_manifest(store)
    assert len(data) == 2
    for index, row in enumerate(rows):
        assert torch.equal(data[index].codes, read_tokens(tokens_path(store, row, key))[0].codes)
        assert data[index].affine is not None
    with pytest.raises(CheckpointError, match="another tokenizer"):
        TokenDataset(store, key, tokenizer_id=make_tokenizer(seed=1).tokenizer_id)[0]
    for wrong in ("nowhere/at-all", "nowhere", "far/from/here"):
        with pytest.raises(ConfigError, match=f"no tokens under this key.*found {re.escape(key)}"):
            TokenDataset(store, wrong)
    with pytest.raises(ConfigError, match="no series"):
        TokenDataset(store, key, split="test")
    write_tokens(tokens_path(store, rows[0], key), data[0], provenance={"sha256": "of other voxels"})
    with pytest.raises(CheckpointError, match="other voxels"):
        data[0]
