"""What a query attack remembers of the images not yet misclassified, and how it goes on with some of them."""

from dataclasses import dataclass, fields
from typing import Self

from torch import Tensor


@dataclass(frozen=True)
class Remaining:
    """The images still attacked: every field is a tensor of theirs, (n, ...), and ``rows`` lies on the CPU.

    Attributes:
        rows: (n,) int64 places in the view's batch.
        images: (n, C, H, W) clean images, or as an attack flattens them.
    """

    rows: Tensor
    images: Tensor

    def take(self, place: Tensor) -> Self:
        """The images at ``place`` (m,), which lies on the CPU."""
        here = place.to(self.images.device)
        parts = {field.name: getattr(self, field.name)[here] for field in fields(self) if field.name != "rows"}
        return type(self)(rows=self.rows[place], **parts)
