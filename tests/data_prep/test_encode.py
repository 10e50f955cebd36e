import json
from pathlib import Path

import torch

from data_prep.encode import EncodeOptions, encode_store, tokens_path
from data_prep.preparation import prepare
from tests.tokenizers3d.conftest import make_tokenizer
from tokenizers3d.tokens import read_tokens
from vol3d.volume.intensity import normalize
from vol3d.volume.manifest import read_manifest
from vol3d.volume.read import read_volume


def test_a_store_is_encoded_once_for_each_tokenizer_and_recipe(tmp_path: Path) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    root.mkdir()
    (root / "phantoms.json").write_text(json.dumps({"num": 2, "shape_zyx": [24, 32, 32], "spacing_mm": [12, 12, 12]}), encoding="utf-8")
    prepare("phantom", root, store, fractions={"train": 1.0})
    tokenizer = make_tokenizer().eval()
    first = encode_store(store, tokenizer)
    assert (first.made, first.kept, first.failed) == (2, 0, {})
    assert encode_store(store, tokenizer).kept == 2
    rows = read_manifest(store)
    grid, provenance = read_tokens(tokens_path(store, rows[0], first.key))
    volume = read_volume(store / rows[0].path)
    expected = tokenizer.encode(torch.from_numpy(normalize(volume.numpy(), "ct_wide"))[None, None])
    assert grid.codes is not None
    assert expected.codes is not None
    assert torch.equal(grid.codes, expected.codes)
    assert provenance["sha256"] == rows[0].sha256
    assert provenance["intensity"] == {"name": "ct_wide", "low": -1000.0, "high": 1000.0}
    other = encode_store(store, tokenizer, EncodeOptions(recipe="ct_lung", spacing_mm=(24.0, 24.0, 24.0)))
    assert other.key != first.key
    assert other.made == 2
    target = tokens_path(store, rows[1], first.key)
    data = bytearray(target.read_bytes())
    data[-1] ^= 1
    target.write_bytes(bytes(data))
    again = encode_store(store, tokenizer)
    assert (again.made, again.kept) == (1, 1)  # a damaged file is made again
