"""Bit-depth reduction (Medical Aegis, ablation of the Cushion: clearing the last bits)."""

from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.randomness import Randomness


class BitDepth(Stage):
    """Keep the first bits of each 8-bit value and clear the others; the backward pass is straight through.

    Args:
        bits: bits kept, 1 to 8.

    Raises:
        ValueError: bits out of range.
    """

    differentiable = False

    def __init__(self, bits: int) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise ValueError(f"a bit depth must be 1 to 8, not {bits}")
        self.bits = bits

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to the multiples of 2^(8 - bits) / 255 at or below their 8-bit values."""
        del draw
        size = float(2 ** (8 - self.bits))
        return ((images.clamp(0, 1) * 255).round() / size).floor() * size / 255
