"""No quantization: latents pass as they are, for autoencoders whose tokens are real vectors."""

from jaxtyping import Float
from torch import Tensor, nn


class Identity(nn.Module):
    """Passes latents through.

    Args:
        num_channels: size of a latent.
    """

    levels = None

    def __init__(self, num_channels: int = 16) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.num_bits = 32 * num_channels

    def forward(self, latents: Float[Tensor, "b c z y x"]) -> tuple[Float[Tensor, "b c z y x"], None]:
        """Latents, and no codes."""
        return latents, None
