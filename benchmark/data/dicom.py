"""DICOM files as grey values. pydicom is an optional library: medrobustbench[dicom]."""

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import BenchError

Array = NDArray[Any]

DICOM_ENDINGS = (".dcm", ".dicom")


@dataclass(frozen=True)
class OptionalLibrary:
    """A library that only some data need.

    Attributes:
        name: of the library.
        installed: whether it is here.
        needed_for: what it reads.
        remedy: how to install it.
    """

    name: str
    installed: bool
    needed_for: str
    remedy: str


def optional_libraries() -> list[OptionalLibrary]:
    """Tell which libraries for further kinds of data are here."""
    known = {
        "pydicom": "DICOM files",
        "pylibjpeg": "DICOM files with compressed pixels (JPEG, JPEG 2000, RLE)",
    }
    return [
        OptionalLibrary(name, importlib.util.find_spec(name) is not None, what, "pip install 'medrobustbench[dicom]'")
        for name, what in known.items()
    ]


def read_dicom(path: Path, content: bytes, window: Literal["file"] | tuple[float, float]) -> Array:
    """Return the grey values of a DICOM image as float32 (H, W) in [0, 1], 0 black.

    Slope and intercept are applied first, then the window (linear, DICOM PS3.3 C.11.2.1.2.1), then MONOCHROME1 is
    inverted.

    Args:
        path: for messages.
        content: what the file holds.
        window: centre and width; ``file``: the file's own first window, without one the span of its values.

    Raises:
        BenchError: pydicom is not installed, or the file is no grey image of one frame that it can read.
    """
    try:
        import pydicom
    except ImportError:
        raise BenchError(
            f"{path} is a DICOM file, for which pydicom is needed; pip install 'medrobustbench[dicom]' installs it."
        ) from None
    try:
        image = pydicom.dcmread(io.BytesIO(content))
        kind = str(image.get("PhotometricInterpretation", ""))
        stored = np.asarray(image.pixel_array)
    except Exception as error:  # a damaged file raises almost anything
        told = " ".join(str(error).split())[:160]
        raise BenchError(
            f"{path} cannot be read as DICOM ({type(error).__name__}: {told}); replace it, or convert it to PNG."
        ) from None
    if kind not in ("MONOCHROME1", "MONOCHROME2") or stored.ndim != 2:
        raise BenchError(
            f"{path} is {kind or 'an image of an unknown kind'} with pixels {stored.shape}; only grey DICOM images of "
            "one frame are read, so convert it to PNG."
        )
    slope, intercept = float(image.get("RescaleSlope", 1) or 1), float(image.get("RescaleIntercept", 0) or 0)
    values = stored.astype(np.float64) * slope + intercept
    shown = _windowed(values, _window_of(image) if window == "file" else window)
    return np.asarray(1 - shown if kind == "MONOCHROME1" else shown, dtype=np.float32)


def _window_of(image: Any) -> tuple[float, float] | None:
    centre, width = image.get("WindowCenter"), image.get("WindowWidth")
    if centre is None or width is None:
        return None
    first = [
        value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value for value in (centre, width)
    ]
    return float(first[0]), float(first[1])


def _windowed(values: Array, window: tuple[float, float] | None) -> Array:
    """Map grey values to [0, 1] through a window (centre, width), or from their least to their greatest."""
    if window is None or window[1] < 1:
        low, span = float(values.min()), float(np.ptp(values))
        return np.asarray((values - low) / (span or 1.0))
    centre, width = window
    return np.asarray(((values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5).clip(0, 1))
