"""Image files of every kind become pixels of the card's size, channels and depth, or are refused in one sentence."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.dicom import optional_libraries
from benchmark.data.reading import facts_of, read_image
from benchmark.data.tables import Reading
from benchmark.errors import BenchError

GREY = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (12, 10), dtype=np.uint16)
COLOUR = np.random.default_rng(2).integers(0, 256, (12, 10, 3), dtype=np.uint8)
EIGHT, SIXTEEN = Reading(bits=8), Reading(bits=16)


def _saved(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize(("pixels", "channels"), [(GREY, 1), (COLOUR, 3)])
def test_a_file_of_the_cards_size_keeps_its_pixels(
    tmp_path: Path, ending: str, pixels: np.ndarray, channels: int
) -> None:
    path = _saved(tmp_path / f"a.{ending}", pixels)
    assert facts_of(path) == (channels, 8)
    assert np.array_equal(read_image(path, EIGHT, (channels, 12, 10)), pixels)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_kept_or_rounded_to_eight(tmp_path: Path, ending: str) -> None:
    path = _saved(tmp_path / f"a.{ending}", DEEP)
    assert facts_of(path) == (1, 16)
    assert np.array_equal(read_image(path, SIXTEEN, (1, 12, 10)), DEEP)
    assert np.array_equal(read_image(path, EIGHT, (1, 12, 10)), np.rint(DEEP / 257).astype(np.uint8))


def test_eight_bits_become_sixteen_without_a_change_of_brightness(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.png", GREY)
    assert np.array_equal(read_image(path, SIXTEEN, (1, 12, 10)), GREY.astype(np.uint16) * 257)


def test_the_whole_frame_is_resized(tmp_path: Path) -> None:
    halves = np.zeros((40, 60), dtype=np.uint8)
    halves[:, 30:] = 200
    for pixels, reading, white in ((halves, EIGHT, 200), (halves.astype(np.uint16) * 257, SIXTEEN, 51400)):
        small = read_image(_saved(tmp_path / "a.png", pixels), reading, (1, 8, 12))
        assert small.shape == (8, 12)
        assert small[:, :5].max() == 0
        assert small[:, 7:].min() == white


def test_grey_becomes_colour_and_colour_grey(tmp_path: Path) -> None:
    three = read_image(_saved(tmp_path / "a.png", GREY), EIGHT, (3, 12, 10))
    assert np.array_equal(three, np.repeat(GREY[..., None], 3, axis=2))
    assert read_image(_saved(tmp_path / "b.png", COLOUR), EIGHT, (1, 12, 10)).shape == (12, 10)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x89PNG\r\n\x1a\n half a head"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for ask in (lambda: facts_of(tmp_path / "a.png"), lambda: read_image(tmp_path / "a.png", EIGHT, (1, 8, 8))):
        with pytest.raises(BenchError, match=r"a\.png .*; remove or replace it|remove or replace it\.$"):
            ask()


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    whole = _saved(tmp_path / "a.png", COLOUR).read_bytes()
    with pytest.raises(BenchError, match="cannot be read"):
        read_image(tmp_path / "a.png", EIGHT, (3, 12, 10), whole[: len(whole) // 2])


def test_without_pydicom_a_dicom_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(BenchError, match=r"pip install 'medrobustbench\[dicom\]'"):
        read_image(tmp_path / "a.dcm", SIXTEEN, (1, 8, 8))


def test_each_optional_library_says_what_it_is_for() -> None:
    told = {library.name: library for library in optional_libraries()}
    assert set(told) == {"pydicom", "pylibjpeg"}
    assert all("DICOM" in library.needed_for and "[dicom]" in library.remedy for library in told.values())


def dicom_bytes(stored: np.ndarray, **facts: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = SecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = "1.2.3"
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.BitsAllocated, image.BitsStored, image.HighBit = 1, 16, 16, 15
    image.PixelRepresentation, image.PhotometricInterpretation = 0, "MONOCHROME2"
    image.PixelData = stored.astype("<u2").tobytes()
    for name, value in facts.items():
        setattr(image, name, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


RAMP = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)


def test_a_dicom_file_is_shown_through_its_window_in_units_of_slope_and_intercept(tmp_path: Path) -> None:
    content = dicom_bytes(RAMP, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000.5, WindowWidth=2001)
    shown = read_image(tmp_path / "a.dcm", SIXTEEN, (1, 8, 8), content)
    expected = ((RAMP * 2.0 - 1000) / 2000).clip(0, 1)  # from 0 to 2000
    assert np.abs(shown / 65535 - expected).max() < 1e-3


def test_the_cards_window_goes_before_the_files(tmp_path: Path) -> None:
    content = dicom_bytes(RAMP, WindowCenter=100, WindowWidth=50)
    shown = read_image(tmp_path / "a.dcm", Reading(bits=8, window=(2048.5, 4097)), (1, 8, 8), content)
    assert np.abs(shown / 255 - RAMP / 4096).max() < 0.003


def test_a_dicom_file_without_a_window_is_shown_from_its_least_to_its_greatest_value(tmp_path: Path) -> None:
    shown = read_image(tmp_path / "a.dcm", SIXTEEN, (1, 8, 8), dicom_bytes(RAMP))
    assert (shown.min(), shown.max()) == (0, 65535)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = read_image(tmp_path / "a.dcm", EIGHT, (1, 8, 8), dicom_bytes(RAMP))
    turned = read_image(
        tmp_path / "a.dcm", EIGHT, (1, 8, 8), dicom_bytes(RAMP, PhotometricInterpretation="MONOCHROME1")
    )
    assert np.abs(plain.astype(int) + turned - 255).max() <= 1


def test_a_damaged_dicom_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", dicom_bytes(RAMP)[:200], dicom_bytes(RAMP)[:-50]):
        with pytest.raises(BenchError, match="cannot be read as DICOM") as caught:
            read_image(tmp_path / "a.dcm", EIGHT, (1, 8, 8), content)
        assert "\n" not in str(caught.value)
