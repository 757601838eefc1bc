"""Finding data sets by name, loading their splits, and saying what is missing and how to get it."""

import contextlib
import http.client
import sys
import tempfile
from pathlib import Path

from benchmark.data.availability import Availability, availability, find_card
from benchmark.data.card import SPLITS, Card, SplitName
from benchmark.data.files import checked_file, default_data_dir
from benchmark.data.loaders import load_arrays, load_folder, load_medmnist, load_npz, medmnist_source
from benchmark.data.official import official_subset
from benchmark.data.split import Split
from benchmark.data.synthetic_split import load_synthetic
from benchmark.errors import BenchError, did_you_mean
from benchmark.root import Root

__all__ = ["Availability", "availability", "find_card", "load_split", "official_subset", "prepare"]

LONG_NAMES = {"train": "training", "val": "validation", "test": "test"}


def load_split(
    card_or_name: Card | str, split: str = "test", root: Root | None = None, data_dir: Path | None = None
) -> Split:
    """Load one split of a data set; nothing is downloaded.

    Args:
        card_or_name: a card, or the name of one below ``root``.
        split: train, val or test.
        root: the project's root; found from the current folder when not given.
        data_dir: where data files lie; default ``BENCH_DATA``, else the user's cache folder.

    Raises:
        BenchError: unknown name or split, or a missing, damaged or wrong file.
    """
    card = find_card(card_or_name, root) if isinstance(card_or_name, str) else card_or_name
    wanted: SplitName | None = next((name for name in SPLITS if name == split), None)
    if wanted is None:
        raise BenchError(f"data set '{card.name}' has no split '{split}'.{did_you_mean(split, SPLITS)}")
    if not card.splits.of(wanted):
        raise BenchError(f"data set '{card.name}' has no {LONG_NAMES[wanted]} images; it is for tests alone.")
    if card.loader == "synthetic":
        return load_synthetic(card, wanted)
    loaders = {"medmnist": load_medmnist, "npz": load_npz, "arrays": load_arrays, "folder": load_folder}
    return loaders[card.loader](card, wanted, data_dir or default_data_dir(root))


def prepare(card: Card, data_dir: Path | None = None, root: Root | None = None) -> Availability:
    """Make a data set ready: draw the synthetic one, download a MedMNIST one; others cannot be fetched for the user.

    Raises:
        BenchError: the download failed, or the file must be got by hand.
    """
    where = data_dir or default_data_dir(root)
    if card.loader == "synthetic":
        for split in SPLITS:
            load_synthetic(card, split)
        return availability(card, where)
    state = availability(card, where)
    if state.state == "available":
        return state
    if state.state == "broken" or card.loader != "medmnist":
        raise BenchError(state.sentence)
    _download_medmnist(card, where)
    checked_file(card, where)
    return availability(card, where)


def _download_medmnist(card: Card, data_dir: Path) -> None:
    from torchvision.datasets.utils import download_url

    url, md5 = medmnist_source(card)
    name = card.files[0].name
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        # Beside its place and then renamed: a download that is broken off leaves no file that looks like the data.
        with (
            tempfile.TemporaryDirectory(dir=data_dir, prefix=".download-") as scratch,
            contextlib.redirect_stdout(sys.stderr),  # standard output may be asked for JSON
        ):
            download_url(url=url, root=scratch, filename=name, md5=md5)
            (Path(scratch) / name).replace(data_dir / name)
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        told = " ".join(str(error).split())[:120]
        raise BenchError(
            f"downloading {name} failed ({type(error).__name__}: {told}); fetch "
            f"{url} on a machine with network and save it as {data_dir / name}."
        ) from None
