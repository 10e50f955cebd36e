"""Quantizers, one a file, all called alike: latents in, vectors and codes out."""

from tokenizers3d.quantizers.fsq import FSQ
from tokenizers3d.quantizers.identity import Identity
from tokenizers3d.quantizers.lfq import LFQ, LFQTerms

__all__ = ["FSQ", "LFQ", "Identity", "LFQTerms"]
