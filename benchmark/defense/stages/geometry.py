"""Random geometry before the classifier: Xie et al. 2018, and the alternatives that MedRDF's Table X compares."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.defense.stages.resampling import places_in, resampled
from benchmark.randomness import Randomness


class RandomRotation(Stage):
    """Turn each image by an angle of its own about its centre; black comes in from outside, bilinear between pixels.

    MedRDF, Table X: "the rotating angle is [10, 100]", the default here. Positive angles turn counter-clockwise. The
    gradient is the true one.

    Args:
        low, high: the range of the angle in degrees.

    Raises:
        ValueError: an empty or infinite range.
    """

    stochastic = True

    def __init__(self, low: float = 10.0, high: float = 100.0) -> None:
        super().__init__()
        if not -math.inf < low <= high < math.inf:
            raise ValueError(f"the angles of a random rotation must be a range of numbers, not {low} to {high}")
        self.low, self.high = low, high

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Turn (N, C, H, W) images; ``draw`` covers N rows."""
        height, width = images.shape[2:]
        angle = torch.deg2rad(self.low + (self.high - self.low) * draw.uniform((1, 1)))
        down = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
        right = torch.arange(width, device=images.device)[None, :] - (width - 1) / 2
        from_right = angle.cos() * right - angle.sin() * down
        from_down = angle.sin() * right + angle.cos() * down
        grid = torch.stack([from_right * 2 / width, from_down * 2 / height], dim=3)
        return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", align_corners=False)


class RandomResize(Stage):
    """Shrink each image to a size of its own and enlarge it again, bilinearly.

    MedRDF, Table X: "the resizing range is [200, 224]" of images of 224 pixels. What becomes of the smaller image is
    not stated; here it is brought back to its size, which the network was trained at and which the rows of one batch
    must share. The gradient is the true one.

    Args:
        smallest, largest: range of the height and width in between, relative to the image's; in (0, 1], whole pixels
            are drawn evenly.

    Raises:
        ValueError: a range outside (0, 1].
    """

    stochastic = True

    def __init__(self, smallest: float = 200 / 224, largest: float = 1.0) -> None:
        super().__init__()
        if not 0 < smallest <= largest <= 1:
            raise ValueError(f"the sizes of a random resize must be a range within (0, 1], not {smallest} to {largest}")
        self.smallest, self.largest = smallest, largest

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Resize (N, C, H, W) images; ``draw`` covers N rows."""
        height, width = images.shape[2:]
        least, most = (max(1, round(share * height)) for share in (self.smallest, self.largest))
        tall = _whole(draw, torch.tensor(least), torch.tensor(most))
        wide = (tall * width / height).round().clamp(min=1)
        small = resampled(images, places_in(height, tall, height), places_in(width, wide, width))
        rows = places_in(tall, torch.full_like(tall, height), height).clamp(min=0)
        columns = places_in(wide, torch.full_like(wide, width), width).clamp(min=0)
        return resampled(small, torch.minimum(rows, tall - 1), torch.minimum(columns, wide - 1))


class RandomResizeAndPad(Stage):
    """Resize each image to a size of its own and place it at random in a larger frame (Xie et al. 2018, section 3).

    The paper enlarges 299 pixels to a size drawn from 299 ... 330 and pads with zeros to 331, which MedRDF's Table XI
    calls Random R-P. Sizes here are relative, so that the default is the paper's at 299 pixels and 28 or 29 or 30 in a
    frame of 31 at 28. The classifier must take the frame's size, as one with a global pool does. The gradient is the
    true one.

    Args:
        smallest: least height, relative to the image's; above 0.
        frame: height of the output, relative to the image's; at least ``smallest``. Where there is room, the drawn size
            is below the frame's.
        interpolation: "nearest" as in the authors' code, or "bilinear".

    Raises:
        ValueError: sizes out of range, or an unknown interpolation.
    """

    stochastic = True

    def __init__(
        self,
        smallest: float = 1.0,
        frame: float = 331 / 299,
        interpolation: Literal["nearest", "bilinear"] = "nearest",
    ) -> None:
        super().__init__()
        if not 0 < smallest <= frame < math.inf:
            raise ValueError(f"random resizing needs 0 < smallest <= frame, not {smallest} and {frame}")
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(f"interpolation must be 'nearest' or 'bilinear', not '{interpolation}'")
        self.smallest, self.frame = smallest, frame
        self._nearest = interpolation == "nearest"

    def frame_of(self, size: int) -> int:
        """Pixels of the output's side for an image's side."""
        return max(1, round(self.frame * size))

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Map (N, C, H, W) images to the frame's size; ``draw`` covers N rows."""
        height, width = images.shape[2:]
        frame_height, frame_width = self.frame_of(height), self.frame_of(width)
        least = max(1, round(self.smallest * height))
        tall = _whole(draw, torch.tensor(least), torch.tensor(max(least, frame_height - 1)))
        wide = (tall * width / height).round().clamp(min=1, max=frame_width)
        top = _whole(draw, torch.tensor(0), frame_height - tall)
        left = _whole(draw, torch.tensor(0), frame_width - wide)
        rows, inside_rows = self._placed(height, tall, top, frame_height)
        columns, inside_columns = self._placed(width, wide, left, frame_width)
        inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        return resampled(images, rows, columns) * inside

    def _placed(self, source: int, target: Tensor, start: Tensor, frame: int) -> tuple[Tensor, Tensor]:
        """Places in the source (N, F) of the frame's pixels, and whether they show the image at all."""
        pixels = torch.arange(frame, device=target.device) - start
        places = (pixels + 0.5) * (source / target) - 0.5
        # The half-way places go up, as the nearest neighbour of an enlargement does.
        places = (places + 0.5).floor() if self._nearest else places
        return places, (pixels >= 0) & (pixels < target)


def _whole(draw: Randomness, low: Tensor, high: Tensor) -> Tensor:
    """Whole numbers (rows, 1), even between ``low`` and ``high``, both included."""
    low, high = low.to(draw.device), high.to(draw.device)
    # A float32 draw just below one may round up to one too many.
    return torch.minimum(low + (draw.uniform((1,)) * (high - low + 1)).floor(), high)
