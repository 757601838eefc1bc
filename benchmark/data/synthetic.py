"""Seeded procedural chest films: soft tissue, lungs, heart, bones, film noise, and four findings.

Nothing is copied from a patient. An image depends on (VERSION, split, index, size) alone, so any part of the set can be
drawn anywhere, in any order. Lengths are in half image widths: x runs from -1 (image left, the patient's right)
to 1, y from -1 (top) to 1. Thickness is an attenuation in arbitrary units; bright means dense, as on a film.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.data.drawing import Array, blob, edge, shrink, smooth_texture
from benchmark.randomness import content_seed

VERSION = 2
"""Version of the generator: raise it whenever a pixel can change."""

CLASSES = ("normal", "opacity", "cardiomegaly", "effusion")
"""Labels: exactly one kind of finding per image, or none."""

FINDINGS = ("opacity", "nodule", "cardiomegaly", "effusion")
"""Columns of the findings: ``opacity`` here is a patchy consolidation; the class ``opacity`` is that or a nodule."""

_UNIFORMS = 160
_OVERSAMPLING = 2
_CHUNK = 8


@dataclass(frozen=True)
class Films:
    """Drawn films.

    Attributes:
        images: uint8 (N, size, size).
        labels: int64 (N,), places in :data:`CLASSES`.
        findings: uint8 (N, 4), columns :data:`FINDINGS`.
        masks: uint8 (N, size, size), 1 in the lung fields (those hidden by fluid or a shadow included).
    """

    images: Array
    labels: Array
    findings: Array
    masks: Array


class _Draws:
    """Uniform numbers of a chunk of images, handed out one parameter at a time in a fixed order."""

    def __init__(self, generators: list[np.random.Generator]) -> None:
        self._numbers = np.stack([generator.random(_UNIFORMS) for generator in generators])
        self._next = 0

    def uniform(self, low: float | Array, high: float | Array) -> Array:
        """Return U[low, high) of shape (B, 1, 1)."""
        number = self._numbers[:, self._next, None, None]
        self._next += 1
        return np.asarray(low + (high - low) * number)

    def coin(self, probability: float) -> Array:
        """Return 1 with ``probability``, else 0; (B, 1, 1)."""
        return (self.uniform(0.0, 1.0) < probability).astype(float)


def draw_films(split: str, indices: Sequence[int], size: int = 32) -> Films:
    """Draw the films ``indices`` of ``split``, ``size`` pixels wide and high."""
    parts = [_draw_chunk(split, indices[start : start + _CHUNK], size) for start in range(0, len(indices), _CHUNK)]
    return Films(
        *(np.concatenate([getattr(part, what) for part in parts]) for what in ("images", "labels", "findings", "masks"))
    )


def _draw_chunk(split: str, indices: Sequence[int], size: int) -> Films:
    seeds = [content_seed("synthetic_cxr", VERSION, split, index) for index in indices]
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    draws = _Draws(generators)
    texture = np.stack([generator.random((16, 16)) for generator in generators]) * 2.0 - 1.0
    label = np.floor(draws.uniform(0.0, len(CLASSES))).astype(np.int64)
    nodule = (label == 1) * draws.coin(0.4)
    present = [(label == 1) * (1.0 - nodule), nodule, (label == 2) * 1.0, (label == 3) * 1.0]
    thickness, lungs = _thickness(draws, present, texture, size)
    film = _expose(draws, thickness)
    grain = np.stack([generator.random((4, size, size)).sum(axis=0) - 2.0 for generator in generators])
    # The sum of four uniform numbers has variance 1/3: close to normal, and its stream is stable across numpy versions.
    film = film + draws.uniform(0.01, 0.035) * np.sqrt(3.0) * grain
    return Films(
        images=np.rint(np.clip(film, 0.0, 1.0) * 255.0).astype(np.uint8),
        labels=label.reshape(-1),
        findings=np.stack([what.reshape(-1) for what in present], axis=1).astype(np.uint8),
        masks=(shrink(lungs, _OVERSAMPLING) >= 0.5).astype(np.uint8),
    )


def _thickness(draws: _Draws, present: list[Array], texture: Array, size: int) -> tuple[Array, Array]:
    """Return film thickness (B, size, size) and the lung fields at drawing resolution."""
    consolidation, nodule, enlarged, fluid = present
    x, y = _grid(draws, size * _OVERSAMPLING)
    chest = _Chest.of(draws, x, y)
    heart = _heart(draws, enlarged, chest, x, y)
    middle = _mediastinum(draws, x, y)
    lungs = np.maximum(chest.right, chest.left) * (1.0 - middle) * (1.0 - heart)
    cloud = smooth_texture(texture, x.shape[-1])
    shadow = _vessels(draws, chest, x, y) + draws.uniform(0.010, 0.030) * cloud
    shadow = shadow + consolidation * _consolidation(draws, chest, cloud, x, y)
    shadow = shadow + nodule * _nodule(draws, chest, x, y)
    effusion = fluid * _effusion(draws, chest, x, y)
    air = lungs * (1.0 - effusion) * (1.0 - np.clip(shadow, -0.2, 0.9))
    below = edge(y - chest.floor, 0.04)
    tissue = draws.uniform(0.60, 0.70) + 0.05 * below + 0.05 * heart + 0.04 * effusion
    bones = _ribs(draws, chest, x, y) + _clavicles(draws, x, y) + _spine(draws, x, y)
    body = _body(draws, x, y)
    film = body * (tissue * (1.0 - draws.uniform(0.55, 0.68) * air) + bones)
    return shrink(film, _OVERSAMPLING), lungs


def _grid(draws: _Draws, pixels: int) -> tuple[Array, Array]:
    """Return the patient's coordinates of each pixel: shifted, turned, scaled by the distance to the detector."""
    axis = (np.arange(pixels) + 0.5) / pixels * 2.0 - 1.0
    angle = draws.uniform(-0.15, 0.15)
    across = axis[None, None, :] - draws.uniform(-0.13, 0.13)
    down = axis[None, :, None] - draws.uniform(-0.13, 0.13)
    x = (np.cos(angle) * across + np.sin(angle) * down) / draws.uniform(0.84, 1.10)
    y = (np.cos(angle) * down - np.sin(angle) * across) / draws.uniform(0.86, 1.12)
    return x, y


@dataclass(frozen=True)
class _Chest:
    """Lung fields and the lines that findings hang on; each of shape (B, H, W) or (B, 1, 1)."""

    right: Array
    left: Array
    centre: Array
    half_width: Array
    half_height: Array
    middle: Array
    floor: Array

    @classmethod
    def of(cls, draws: _Draws, x: Array, y: Array) -> "_Chest":
        """Draw a rib cage; the right lung lies on the image's left."""
        centre = draws.uniform(0.39, 0.44)
        half_width = draws.uniform(0.29, 0.35)
        half_height = draws.uniform(0.68, 0.80)
        middle = draws.uniform(-0.06, 0.04)
        taper = draws.uniform(0.18, 0.34)
        height = (y - middle) / half_height
        width = half_width * (1.0 + taper * np.clip(height, -1.0, 1.0))
        across = (np.abs(x) - centre) / width
        field = edge(1.0 - np.sqrt(across**2 + np.abs(height) * height**2 + 1e-9), 0.07)
        floor = cls._diaphragm(draws, across, x, middle + 0.62 * half_height)
        field = field * edge(floor - y, 0.025)
        right_side = (x < 0.0) * 1.0
        return cls(field * right_side, field * (1.0 - right_side), centre, half_width, half_height, middle, floor)

    @staticmethod
    def _diaphragm(draws: _Draws, across: Array, x: Array, level: Array) -> Array:
        """Return the y of the domes: high in the middle of each lung, falling to the costophrenic angle outside."""
        dome = draws.uniform(0.13, 0.27)
        lift = draws.uniform(-0.05, 0.10)
        bend = np.where(across > 0.0, 1.0, 0.35) * np.minimum(np.abs(across + 0.1), 1.4) ** 2
        return np.asarray(level + 0.10 - dome * (1.0 - bend) - lift * (x < 0.0))

    def place(self, side: Array, across: Array, height: Array) -> tuple[Array, Array]:
        """Return the point (x, y) at relative position ``across`` (outwards), ``height`` (downwards) of a lung."""
        return side * (self.centre + across * self.half_width), self.middle + height * self.half_height


def _heart(draws: _Draws, enlarged: Array, chest: _Chest, x: Array, y: Array) -> Array:
    """Return the heart's shadow; enlarged means wider than half the chest (cardiothoracic ratio)."""
    ratio = np.where(enlarged > 0, draws.uniform(0.50, 0.61), draws.uniform(0.39, 0.50))
    half = ratio * (chest.centre + chest.half_width)
    shift = draws.uniform(0.24, 0.40) * half
    tall = draws.uniform(0.30, 0.38) + 0.25 * (half - 0.32)
    level = chest.middle + draws.uniform(0.46, 0.56) * chest.half_height - 0.3 * (tall - 0.32)
    lean = draws.uniform(0.1, 0.4)
    across = (x - shift - lean * (y - level) * 0.4) / half
    down = (y - level) / tall
    return edge(1.0 - np.sqrt(across**2 + down**2 + 1e-9), 0.09)


def _mediastinum(draws: _Draws, x: Array, y: Array) -> Array:
    half = draws.uniform(0.10, 0.16) + 0.05 * np.clip(y, 0.0, 1.0)
    knob = 0.7 * blob(x, y, draws.uniform(0.10, 0.15), draws.uniform(-0.30, -0.20), draws.uniform(0.06, 0.09))
    return np.asarray(np.maximum(edge(half - np.abs(x - draws.uniform(-0.02, 0.02)), 0.035), knob))


def _vessels(draws: _Draws, chest: _Chest, x: Array, y: Array) -> Array:
    """Return hilar shadows and small vessels seen end on, which look like small nodules."""
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    for side in (-1.0, 1.0):
        hilum = blob(x, y, side * draws.uniform(0.16, 0.22), draws.uniform(-0.10, 0.05), draws.uniform(0.07, 0.11))
        total += draws.uniform(0.10, 0.28) * hilum
        for _ in range(3):
            at_x, at_y = chest.place(np.full((1, 1, 1), side), draws.uniform(-0.6, 0.5), draws.uniform(-0.6, 0.5))
            total += draws.uniform(0.0, 0.20) * blob(x, y, at_x, at_y, draws.uniform(0.03, 0.06))
    return total


def _consolidation(draws: _Draws, chest: _Chest, cloud: Array, x: Array, y: Array) -> Array:
    """Return a patchy, ill-defined shadow of three lobules in one lung."""
    side = np.where(draws.coin(0.5) > 0, 1.0, -1.0)
    across = draws.uniform(np.where(side > 0, 0.1, -0.4), 0.5)
    at_x, at_y = chest.place(side, across, draws.uniform(-0.6, 0.35))
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    for _ in range(3):
        move_x, move_y = draws.uniform(-0.12, 0.12), draws.uniform(-0.14, 0.14)
        total += draws.uniform(0.6, 1.0) * blob(x, y, at_x + move_x, at_y + move_y, draws.uniform(0.07, 0.14))
    return np.asarray(draws.uniform(0.07, 0.37) * np.minimum(total, 1.3) * (1.0 + 0.5 * cloud))


def _nodule(draws: _Draws, chest: _Chest, x: Array, y: Array) -> Array:
    """Return a round shadow with a rather sharp edge."""
    side = np.where(draws.coin(0.5) > 0, 1.0, -1.0)
    across = draws.uniform(np.where(side > 0, 0.1, -0.5), 0.55)
    at_x, at_y = chest.place(side, across, draws.uniform(-0.6, 0.35))
    radius = draws.uniform(0.07, 0.12)
    return draws.uniform(0.18, 0.52) * edge(radius - np.sqrt((x - at_x) ** 2 + (y - at_y) ** 2), 0.03)


def _effusion(draws: _Draws, chest: _Chest, x: Array, y: Array) -> Array:
    """Return fluid over the diaphragm of one side: a blunted angle, its surface rising towards the chest wall."""
    side = np.where(draws.coin(0.5) > 0, 1.0, -1.0)
    level = chest.middle + (0.62 - draws.uniform(-0.06, 0.18)) * chest.half_height
    outwards = (side * x - chest.centre) / chest.half_width
    rise = draws.uniform(0.05, 0.18) * np.clip(outwards + 0.3, 0.0, 1.5) ** 2
    return np.asarray(edge(y - (level - rise), 0.05) * (side * x > 0.0) * draws.uniform(0.35, 0.95))


def _ribs(draws: _Draws, chest: _Chest, x: Array, y: Array) -> Array:
    spacing = draws.uniform(0.19, 0.25)
    slope = draws.uniform(0.25, 0.55)
    phase = (y - slope * np.abs(x) * np.sqrt(np.abs(x))) / spacing + draws.uniform(0.0, 1.0)
    near = np.abs(phase - np.rint(phase))
    inside = edge(1.1 - np.abs(np.abs(x) - chest.centre) / chest.half_width, 0.1)
    inside = inside * edge(0.9 - np.abs(y - chest.middle) / chest.half_height, 0.1)
    return np.asarray(draws.uniform(0.04, 0.10) * inside * edge(0.2 - near, 0.09))


def _clavicles(draws: _Draws, x: Array, y: Array) -> Array:
    line = draws.uniform(-0.66, -0.54) - draws.uniform(0.10, 0.30) * (np.abs(x) - 0.2)
    along = edge(np.abs(x) - 0.10, 0.04) * edge(0.72 - np.abs(x), 0.04)
    return np.asarray(draws.uniform(0.06, 0.13) * along * edge(0.045 - np.abs(y - line), 0.02))


def _spine(draws: _Draws, x: Array, y: Array) -> Array:
    discs = 1.0 + 0.25 * np.cos(2.0 * np.pi * (y / draws.uniform(0.15, 0.19)))
    return np.asarray(draws.uniform(0.05, 0.12) * discs * edge(0.08 - np.abs(x), 0.03))


def _body(draws: _Draws, x: Array, y: Array) -> Array:
    """Return the trunk: shoulders slope away from the neck, arms are cut off by the frame."""
    half = draws.uniform(0.86, 0.96)
    shoulder = -draws.uniform(0.86, 0.98) + draws.uniform(0.35, 0.6) * np.clip(np.abs(x) - 0.22, 0.0, None)
    return np.asarray(edge(half - np.abs(x), 0.04) * edge(y - shoulder, 0.05))


def _expose(draws: _Draws, thickness: Array) -> Array:
    """Return the film in about [0, 1]: contrast, density and an uneven field differ from exposure to exposure."""
    size = thickness.shape[-1]
    axis = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    field = draws.uniform(-0.05, 0.05) * axis[None, None, :] + draws.uniform(-0.05, 0.05) * axis[None, :, None]
    curved = np.clip(thickness, 0.0, None) ** draws.uniform(0.8, 1.25)
    return np.asarray(draws.uniform(0.0, 0.12) + draws.uniform(0.85, 1.2) * curved + field)
