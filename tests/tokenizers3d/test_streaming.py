"""One pass over the volume is the reference; slabs must give the same, at a memory that does not depend on the depth."""

import pytest
import torch

from tests.tokenizers3d.conftest import make_tokenizer, random_volume
from tokenizers3d.causal import CausalConv3d, StreamState, convolve
from tokenizers3d.encoder import Encoder
from tokenizers3d.haar import haar, unhaar
from tokenizers3d.slabs import pad_slab
from tokenizers3d.tokenizer import Tokenizer


def one_pass(tokenizer: Tokenizer, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return tokenizer.encoder(haar(pad_slab(x, tokenizer.stride_vox, is_whole=True)))


@pytest.mark.parametrize("depth", [1, 2, 9, 20, 33])
@pytest.mark.parametrize("chunk", [8, 16, 24])
def test_slabs_equal_one_pass(tokenizer: Tokenizer, depth: int, chunk: int) -> None:
    x = random_volume(1, depth, 32, 32)
    reference = one_pass(tokenizer, x)
    codes = tokenizer.quantizer(reference)[1]
    grid = tokenizer.encode(x, "stream", chunk_slices=chunk)
    decided = (reference.abs() > 1e-5).all(1)
    assert torch.equal(grid.codes[decided], codes[decided])
    with torch.no_grad():
        whole = unhaar(tokenizer.decoder(grid.vectors()))[:, :, :depth]
    assert (tokenizer.decode(grid, chunk_tokens=chunk // 8) - whole).abs().max() < 1e-5


def test_latents_of_slabs_equal_those_of_one_pass_to_rounding() -> None:
    tokenizer = make_tokenizer(quantizer="identity", quantizer_args={"num_channels": 6})
    x = random_volume(2, 41, 24, 40)
    assert (tokenizer.encode(x).latents - one_pass(tokenizer, x)).abs().max() < 1e-5
    double, xd = tokenizer.double(), x.double()
    assert (double.encode(xd).latents - one_pass(double, xd)).abs().max() < 1e-12


@pytest.mark.parametrize("cuts", [[33], [1] * 33, [2, 3, 28], [16, 17], [31, 1, 1]])
def test_thickness_of_the_slabs_does_not_matter(cuts: list[int]) -> None:
    tokenizer, x = make_tokenizer(), random_volume(1, 33, 16, 16)
    grid = tokenizer.encode_stream(iter(x.split(cuts, 2)))
    assert torch.equal(grid.codes, tokenizer.encode(x).codes)
    assert grid.shape_vox == (33, 16, 16)


def test_training_forward_equals_encode_and_decode(tokenizer: Tokenizer) -> None:
    x = random_volume(1, 17, 32, 32)
    reconstruction, latents = tokenizer(x)
    assert latents.requires_grad
    assert (reconstruction.detach() - tokenizer.decode(tokenizer.encode(x))).abs().max() < 1e-5


def test_nothing_looks_ahead() -> None:
    tokenizer, x = make_tokenizer(), random_volume(1, 33, 16, 16)
    changed = x.clone()
    changed[:, :, 17:] = -changed[:, :, 17:]
    codes, others = tokenizer.encode(x).codes, tokenizer.encode(changed).codes
    assert torch.equal(codes[:, :3], others[:, :3])
    assert not torch.equal(codes[:, 3:], others[:, 3:])


def test_the_last_slice_changes_a_code() -> None:
    tokenizer, x = make_tokenizer(), random_volume(1, 20, 16, 16)
    changed = x.clone()
    changed[:, :, -1] = -changed[:, :, -1]
    assert not torch.equal(tokenizer.encode(x).codes, tokenizer.encode(changed).codes)


def live_elements(depth: int) -> tuple[int, int]:
    """Most elements that pass through one convolution at once, and most bytes that the layers keep, over a stream of single slices."""
    tokenizer, sizes, kept = make_tokenizer(), [0], [0]
    keep = StreamState.keep

    def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        sizes[0] = max(sizes[0], inputs[0].numel() + output.numel())

    def keep_and_count(self: StreamState, layer: torch.nn.Module, slices: torch.Tensor | None) -> None:
        keep(self, layer, slices)
        kept[0] = max(kept[0], self.num_bytes)

    for module in tokenizer.modules():
        if isinstance(module, CausalConv3d):
            module.register_forward_hook(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamState, "keep", keep_and_count)
        grid = tokenizer.encode_stream(random_volume(1, 1, 32, 32, seed=i) for i in range(depth))
        for _ in tokenizer.decode_stream(grid):
            pass
    return sizes[0], kept[0]


@pytest.mark.parametrize("mode", ["stream", "windowed"])
def test_pieces_of_a_stage_change_nothing(tokenizer: Tokenizer, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    double, x = tokenizer.double(), random_volume(2, 49, 32, 32).double()
    pieces: list[int] = []
    stage = Encoder._stage
    monkeypatch.setattr(Encoder, "_stage", lambda self, i, piece, state: pieces.append(i) or stage(self, i, piece, state))
    whole = double.encode(x, mode).codes
    num_whole = len(pieces)
    monkeypatch.setattr("tokenizers3d.encoder._PIECE_ELEMENTS", 1)
    assert torch.equal(double.encode(x, mode).codes, whole)
    assert len(pieces) - num_whole > 3 * num_whole


@pytest.mark.parametrize("kernel", [1, 3])
def test_small_convolutions_give_what_pytorch_gives(kernel: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 6, 3, 8, 8), torch.randn(4, 6, kernel, kernel, kernel), torch.randn(4)
    padding = (0, kernel // 2, kernel // 2)
    expected = torch.nn.functional.conv3d(x, weight, bias, (1, 2, 2), padding)
    assert torch.equal(convolve(x, weight, bias, (1, 2, 2), padding), expected)
    with torch.no_grad():
        assert (convolve(x, weight, bias, (1, 2, 2), padding) - expected).abs().max() < 1e-4
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert convolve(x, weight, bias, (1, 2, 2), padding).dtype == torch.bfloat16


def test_memory_of_a_stream_does_not_grow_with_depth() -> None:
    assert live_elements(33) == live_elements(257)


def test_what_is_kept_does_not_hold_the_slab_alive() -> None:
    state, slab = StreamState(), torch.zeros(1, 2, 64, 4, 4)
    state.keep(torch.nn.Identity(), slab[:, :, -2:])
    (kept,) = state._kept.values()
    assert kept.untyped_storage().nbytes() == state.num_bytes == 2 * 2 * 16 * 4


def test_history_shorter_than_the_kernel_is_filled_with_zeros() -> None:
    torch.manual_seed(0)
    conv, x = CausalConv3d(2, 3).double(), torch.randn(1, 2, 6, 4, 4, dtype=torch.float64)
    state = StreamState()
    with torch.no_grad():
        parts = torch.cat([conv(part, state) for part in x.split(1, 2)], 2)
        assert (parts - conv(x)).abs().max() < 1e-12


def test_taps_left_out_equal_zeros_multiplied() -> None:
    torch.manual_seed(0)
    for stride in ((1, 1, 1), (2, 2, 2), (1, 2, 2)):
        conv, x = CausalConv3d(2, 3, stride=stride).double(), torch.randn(2, 2, 5, 6, 6, dtype=torch.float64)
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1, 2, 0))
        expected = torch.nn.functional.conv3d(padded, conv.weight, conv.bias, stride)
        with torch.no_grad():
            assert (conv(x) - expected).abs().max() < 1e-12
        assert (conv(x) - expected).abs().max() < 1e-12
