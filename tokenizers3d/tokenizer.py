"""Tokenizer: volumes to tokens and back, in one pass, by windows, or slab by slab at constant memory."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tokenizers3d.causal import StreamState
from tokenizers3d.codes import codes_to_levels, codes_to_signs
from tokenizers3d.config import QUANTIZERS, TokenizerConfig, read_config
from tokenizers3d.decoder import Decoder
from tokenizers3d.encoder import Encoder
from tokenizers3d.errors import CheckpointError, ShapeError
from tokenizers3d.haar import haar, haar_pairs, unhaar, unhaar_pairs
from tokenizers3d.quantizers import FSQ, LFQ, Identity
from tokenizers3d.slabs import pad_slab, require_volume, slabs_of, stream_chunks
from tokenizers3d.types import Mode, TokenGrid
from tokenizers3d.weights import content_hash, load_strictly, read_tensors, write_tensors
from tokenizers3d.windows import encode_windows

_BANDS = 8
_FORMAT = 1


class Tokenizer(nn.Module):
    """Haar wavelet, causal encoder, quantizer, causal decoder, inverse wavelet.

    Voxels are in [-1, 1] (a named intensity recipe), axes `b 1 z y x`. Depths that are not `k * stride + 1` and sides that are no
    multiple of the stride are padded by repeating the last voxels; the grid remembers the true size and decoding crops back to it.

    >>> from tokenizers3d.config import TokenizerConfig
    >>> tokenizer = Tokenizer(TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4))
    >>> grid = tokenizer.encode(torch.zeros(1, 1, 10, 20, 16))
    >>> grid.shape, tokenizer.decode(grid).shape
    ((3, 3, 2), torch.Size([1, 1, 10, 20, 16]))
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}
        self.quantizer: LFQ | FSQ | Identity = QUANTIZERS[config.quantizer](**config.quantizer_args)
        self.encoder = Encoder(_BANDS, self.quantizer.num_channels, **config.networks())
        self.decoder = Decoder(self.quantizer.num_channels, _BANDS, **config.networks())
        self.eval()

    @classmethod
    def from_config(cls, config: str | Path | TokenizerConfig) -> "Tokenizer":
        """An untrained tokenizer from a config, a recipe's path, or its name in `configs/tokenizer`."""
        return cls(config if isinstance(config, TokenizerConfig) else read_config(config))

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """A saved tokenizer, in float32; damaged, incomplete or foreign files are refused."""
        tensors, metadata = read_tensors(path)
        if metadata.get("format") != _FORMAT or not isinstance(metadata.get("config"), dict):
            raise CheckpointError(
                "weights without a tokenizer's config",
                path=path,
                hint="Published BTB3D weights are read by tokenizers3d.btb3d.load_btb3d.",
            )
        tokenizer = cls(TokenizerConfig.from_dict(metadata["config"]))
        load_strictly(tokenizer, {name: tensor.float() for name, tensor in tensors.items()}, path=path)
        tokenizer.provenance = metadata.get("provenance", {})
        return tokenizer

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float32, provenance: dict[str, Any] | None = None) -> None:
        """Write weights with config and provenance; the tokens' id is that of the weights as stored."""
        tensors = {name: tensor.to(dtype) for name, tensor in self.state_dict().items()}
        facts = {"format": _FORMAT, "config": self.config.to_dict(), "provenance": provenance or self.provenance}
        write_tensors(path, tensors, facts)

    @property
    def stride_vox(self) -> tuple[int, int, int]:
        """Voxels a token along z y x."""
        return self.config.stride_vox

    @property
    def tokenizer_id(self) -> str:
        """Name and content of what makes the codes: the encoder. A decoder that is refined later reads the same codes.

        Taken over weights rounded to bfloat16, so that a copy in another precision has the same id.
        """
        return f"{self.config.name}:{content_hash(self.encoder.state_dict(), dtype=torch.bfloat16)[:16]}"

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, in which the networks run."""
        return self.encoder.head.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.head.weight.device

    def forward(
        self, x: Float[Tensor, "b 1 z y x"], *, softness: float | None = None, mode: Mode = "stream"
    ) -> tuple[Float[Tensor, "b 1 z y x"], Float[Tensor, "b c tz ty tx"]]:
        """For training: the reconstruction, and the latents before quantization.

        Args:
            x: voxels in [-1, 1].
            softness: that of `LFQ.forward`.
            mode: `stream` encodes the volume in one pass, `windowed` by windows; it is decoded whole.
        """
        frames = haar(pad_slab(x, self.stride_vox, is_whole=True))
        latents = self.encoder(frames) if mode == "stream" else encode_windows(self.encoder, frames, num_frames=self.stride_vox[0] // 2)
        quantize = partial(self.quantizer, softness=softness) if isinstance(self.quantizer, LFQ) else self.quantizer
        z, rows, columns = x.shape[2:]
        return unhaar(self.decoder(quantize(latents)[0]))[:, :, :z, :rows, :columns], latents

    @torch.no_grad()
    def encode(
        self, x: Float[Tensor, "b 1 z y x"], mode: Mode | None = None, *, affine: Float[np.ndarray, "4 4"] | None = None, chunk_slices: int = 32
    ) -> TokenGrid:
        """Tokens of a batch of volumes.

        Args:
            x: voxels in [-1, 1].
            mode: `stream` equals one pass over the whole volume at constant memory; `windowed` encodes short overlapping windows
                each for itself, as BTB3D was trained. By default the mode that the weights were trained with, else `stream`.
            affine: voxel to RAS mm, carried along.
            chunk_slices: slices at a time; changes memory and time, not the result.
        """
        require_volume(x)
        mode = mode or (self.config.modes[0] if self.config.modes else "stream")
        if mode == "stream":
            return self.encode_stream(slabs_of(x, chunk_slices), affine=affine, chunk_slices=chunk_slices)
        if mode != "windowed":
            raise ShapeError("unknown mode", expected="stream or windowed", found=mode)
        padded = pad_slab(x, self.stride_vox, is_whole=True).to(self.device, self.dtype)
        latents = encode_windows(self.encoder, haar(padded), num_frames=self.stride_vox[0] // 2)
        return self._grid([latents], tuple(x.shape[2:]), mode, affine)

    @torch.no_grad()
    def encode_stream(
        self, slabs: Iterable[Float[Tensor, "b 1 z y x"]], *, affine: Float[np.ndarray, "4 4"] | None = None, chunk_slices: int = 32
    ) -> TokenGrid:
        """Tokens of a volume that comes as slabs of any thickness, from the first slice on; equals `encode` of the whole."""
        state, size = StreamState(), [0, 0, 0]
        parts: list[Tensor] = []
        for chunk, num_slices in stream_chunks(slabs, self.stride_vox, chunk_slices):
            wavelet = haar_pairs if parts else haar
            latents = self.encoder(wavelet(chunk.to(self.device, self.dtype)), state)
            parts.append(latents if isinstance(self.quantizer, Identity) else self.quantizer(latents)[1])
            size = [size[0] + num_slices[0], num_slices[1], num_slices[2]]
        return self._grid(parts, (size[0], size[1], size[2]), "stream", affine)

    @torch.no_grad()
    def decode(self, grid: TokenGrid, *, any_mode: bool = False, chunk_tokens: int = 4) -> Float[Tensor, "b 1 z y x"]:
        """Voxels of a token grid, float32, cropped to the volume's own size; not clipped to [-1, 1].

        Args:
            grid: tokens of this tokenizer's encoder.
            any_mode: decode also what was encoded in a mode that the weights were not trained with.
            chunk_tokens: token slices at a time.
        """
        slabs = self.decode_stream(grid, any_mode=any_mode, chunk_tokens=chunk_tokens)
        first = next(slabs)
        volume = first.new_empty(first.shape[0], 1, *grid.shape_vox)
        volume[:, :, : first.shape[2]], filled = first, first.shape[2]
        for slab in slabs:
            volume[:, :, filled : filled + slab.shape[2]] = slab
            filled += slab.shape[2]
        return volume

    @torch.no_grad()
    def decode_stream(self, grid: TokenGrid, *, any_mode: bool = False, chunk_tokens: int = 4) -> Iterator[Float[Tensor, "b 1 z y x"]]:
        """Slabs of a decoded volume, from the first slice on, at constant memory."""
        self._require_own(grid, any_mode=any_mode)
        state, left = StreamState(), grid.shape_vox[0]
        starts = [0, *range(chunk_tokens + 1, grid.shape[0], chunk_tokens)]
        for start, stop in zip(starts, [*starts[1:], grid.shape[0]], strict=True):
            part = _slice_tokens(grid, start, stop).to(self.device, self.dtype)
            bands = self.decoder(part, state)
            slab = (unhaar_pairs if start else unhaar)(bands).float()[:, :, :left, : grid.shape_vox[1], : grid.shape_vox[2]]
            left -= slab.shape[2]
            yield slab

    def _grid(self, parts: list[Tensor], shape_vox: tuple[int, ...], mode: Mode, affine: np.ndarray | None) -> TokenGrid:
        tokens = torch.cat(parts, 2) if parts[0].dim() == 5 else torch.cat(parts, 1)
        if tokens.dim() == 5 and not isinstance(self.quantizer, Identity):
            tokens = self.quantizer(tokens)[1]
        is_codes = tokens.dim() == 4
        levels = self.quantizer.levels
        return TokenGrid(
            codes=tokens if is_codes else None,
            latents=None if is_codes else tokens,
            num_bits=self.quantizer.num_bits,
            stride_vox=self.stride_vox,
            shape_vox=(shape_vox[0], shape_vox[1], shape_vox[2]),
            mode=mode,
            tokenizer_id=self.tokenizer_id,
            levels=None if levels is None or set(levels) == {2} else levels,
            affine=affine,
        )

    def _require_own(self, grid: TokenGrid, *, any_mode: bool) -> None:
        """Refuse tokens that this decoder was not made for."""
        own = (self.quantizer.num_bits, self.stride_vox)
        if (grid.num_bits, grid.stride_vox) != own or grid.tokenizer_id not in ("", self.tokenizer_id):
            raise CheckpointError(
                "these tokens were made by another tokenizer",
                expected=f"{self.tokenizer_id}, {own[0]} bits, stride {own[1]}",
                found=f"{grid.tokenizer_id or 'no id'}, {grid.num_bits} bits, stride {grid.stride_vox}",
                hint="Decode them with the weights that made them.",
            )
        if self.config.modes and grid.mode not in self.config.modes and not any_mode:
            raise CheckpointError(
                "these tokens were encoded in a mode that the decoder was not trained with",
                expected=" or ".join(self.config.modes),
                found=grid.mode,
                hint="Encode in that mode, or pass any_mode=True.",
            )


def _slice_tokens(grid: TokenGrid, start: int, stop: int) -> Float[Tensor, "b c z y x"]:
    """Vectors of a range of token slices; the rest of the volume stays packed in its codes."""
    codes = grid.codes
    if codes is None:
        return grid.vectors()[:, :, start:stop]
    part = codes[:, start:stop]
    return codes_to_signs(part, grid.num_bits) if grid.levels is None else codes_to_levels(part, grid.levels)
