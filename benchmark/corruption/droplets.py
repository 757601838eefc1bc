"""From a layer of liquid to droplets with light and shade: edges, distance to them, relief.

Written after the documented behaviour of OpenCV's Canny, distanceTransform, equalizeHist, blur and filter2D, which the
released code calls; the distance is exact here.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from benchmark.corruption.pixels import Taps, filtered

_BOX: Taps = {(dy, dx): 1.0 for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
_EMBOSS: Taps = {
    (-1, -1): -2.0,
    (-1, 0): -1.0,
    (0, -1): -1.0,
    (0, 0): 1.0,
    (0, 1): 1.0,
    (1, 0): 1.0,
    (1, 1): 2.0,
}
_SOBEL_X: Taps = {(dy, dx): dx * (2.0 - abs(dy)) for dy in (-1, 0, 1) for dx in (-1, 1)}
_SOBEL_Y: Taps = {(dx, dy): weight for (dy, dx), weight in _SOBEL_X.items()}
_FAR = 20.0
# Slopes that split gradient directions into across, diagonal and down.
_TAN_22, _TAN_67 = 0.4142135623730951, 2.414213562373095


def droplet_mask(liquid: Tensor, size: float) -> Tensor:
    """Shade droplets.

    Args:
        liquid: layer (N, 1, H, W) in [0, 1], 0 where dry.
        size: size of the layer relative to the reference; distances are measured in reference pixels.

    Returns:
        Mask (N, 1, H, W) in [0, 1]; its maximum is 1 in every image, or 0 where there is no liquid to light.
    """
    levels = torch.floor((liquid * 255).clamp(0, 255))
    distance = (edge_distance(canny(levels), levels) / size).clamp(max=_FAR)
    smooth = torch.floor(filtered(distance, _BOX, "reflect") / 9 + 1e-3)
    relief = filtered(equalised(smooth), _EMBOSS, "reflect").clamp(0, 255)
    relief = torch.floor(filtered(relief, _BOX, "reflect") / 9 + 0.5)
    mask = levels * relief
    return mask / mask.amax(dim=(-2, -1), keepdim=True).clamp(min=1.0)


def canny(levels: Tensor, low: float = 50.0, high: float = 150.0) -> Tensor:
    """Canny edges of 8-bit levels (N, 1, H, W) (0 ... 255 as float), bool of the same shape.

    3 x 3 Sobel gradients with replicated border, L1 magnitude, thinning across the edge, then every pixel above
    ``low`` that is connected (8 neighbours) with one above ``high``.
    """
    across, down = filtered(levels, _SOBEL_X), filtered(levels, _SOBEL_Y)
    size_x, size_y = across.abs(), down.abs()
    strength = size_x + size_y
    wide = F.pad(strength, (1, 1, 1, 1))
    height, width = levels.shape[-2:]

    def at(dy: int, dx: int) -> Tensor:
        return wide[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    falling = across * down < 0
    before = torch.where(falling, at(-1, 1), at(-1, -1))
    after = torch.where(falling, at(1, -1), at(1, 1))
    peak_diagonal = (strength > before) & (strength > after)
    peak_x = (strength > at(0, -1)) & (strength >= at(0, 1))
    peak_y = (strength > at(-1, 0)) & (strength >= at(1, 0))
    steep = torch.where(size_y > size_x * _TAN_67, peak_y, peak_diagonal)
    peak = torch.where(size_y < size_x * _TAN_22, peak_x, steep) & (strength > low)
    return _connected(peak & (strength > high), peak)


def _connected(seeds: Tensor, allowed: Tensor) -> Tensor:
    """Grow seeds through allowed pixels until nothing is added."""
    grown = seeds
    while True:
        wide = F.pad(grown, (1, 1, 1, 1))
        beside = wide[..., :-2] | wide[..., 1:-1] | wide[..., 2:]
        wider = (beside[..., :-2, :] | beside[..., 1:-1, :] | beside[..., 2:, :]) & allowed
        if torch.equal(wider, grown):
            return grown
        grown = wider


def edge_distance(edges: Tensor, like: Tensor) -> Tensor:
    """Euclidean distance in pixels to the nearest edge, (N, 1, H, W); infinite in an image without edges."""
    masks = edges.cpu().numpy()
    distances = np.full(masks.shape, np.inf, dtype=np.float32)
    for image, mask in enumerate(masks):
        if mask.any():
            distances[image, 0] = distance_transform_edt(~mask[0])
    return torch.from_numpy(distances).to(like.device)


def equalised(levels: Tensor) -> Tensor:
    """Equalise the histogram of each image of 8-bit levels (N, 1, H, W); an image of one level stays as it is."""
    flat = levels.flatten(1).long()
    counts = torch.zeros(len(flat), 256, dtype=torch.long, device=levels.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = flat.amin(dim=1, keepdim=True)
    ground = counts.gather(1, lowest)
    above = flat.shape[1] - ground
    rank = counts.cumsum(dim=1) - ground
    lut = torch.round(rank.clamp(min=0) * (255.0 / above.clamp(min=1)))
    return torch.where(above > 0, lut.gather(1, flat), flat.to(lut.dtype)).view(levels.shape)
