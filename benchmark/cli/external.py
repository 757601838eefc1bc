"""``bench external``: adversarial images that anybody has found, verified, judged and kept beside the entry's rows."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.console import Console
from benchmark.cli.output import checked_data_dir, refuse_unwritable, table_of, wide_console
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError, did_you_mean
from benchmark.matrix.budgets import wrong_budget
from benchmark.matrix.rules import rules
from benchmark.results.schema import EXTERNAL, NORMS

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.engine.external import Offer
    from benchmark.engine.settings import Unit
    from benchmark.engine.workplace import Workplace

BY = re.compile(r"[^\x00-\x1f]{1,80}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("external")(external_command)


def external_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="npz file with arrays ids and images.")],
    entry: Annotated[str, typer.Option("--entry", "-e", help="Name or folder of the entry that they break.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Data set.")],
    by: Annotated[str, typer.Option(help="Who found them, as the board shall say.")],
    eps: Annotated[float | None, typer.Option(help="Budget in 1/255. Default: the one that ranks.")] = None,
    norm: Annotated[str, typer.Option(help="linf, l2 or l0.")] = rules().ranking.norm,
    results: Annotated[Path | None, typer.Option(help="Folder of the rows. Default: results.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data files. Default: BENCH_DATA.")] = None,
    board: BoardDir = None,
) -> None:
    """Judge adversarial images that were made elsewhere, and keep those that break the entry.

    ids names images of the official subset; images is (N, C, H, W), float in [0, 1] or uint8. What lies outside the
    ball is projected onto it. The worst case of the board counts them beside the benchmark's own attacks.
    """
    from contextlib import closing

    from benchmark.engine import RunSettings, Unit
    from benchmark.engine.external import external_rows
    from benchmark.engine.workplace import Workplace
    from benchmark.host.line import CallFailed, HostFailed
    from benchmark.results.store import refuse_to_replace_official, write_table

    if not BY.fullmatch(by):
        raise BenchError("--by is no name of 1 to 80 characters on one line; say who found the images.")
    if norm not in NORMS:
        raise BenchError(f"--norm '{norm}' is unknown.{did_you_mean(norm, NORMS)}")
    checked_data_dir(data_dir)
    root = root_of(context, board)
    folder = results or root.results
    refuse_unwritable(folder, "--results")
    with closing(Workplace(RunSettings(root.path, folder, data_dir))) as workplace:
        unit = Unit(entry, dataset, EXTERNAL, 0)
        name = workplace.entry(entry).name
        if dataset not in workplace.entry(entry).manifest.datasets:
            own = ", ".join(workplace.entry(entry).manifest.datasets)
            raise BenchError(f"submission '{entry}' does not name the data set '{dataset}'; it names {own}.")
        budget = rules().ranking.eps_255 if eps is None else eps
        if wrong := wrong_budget(norm, budget, workplace.card(dataset).height * workplace.card(dataset).width):
            raise BenchError(f"--eps {wrong}.")
        offered = read_offered(file, workplace, unit)
        path = folder / dataset / name / f"{EXTERNAL}.parquet"
        refuse_to_replace_official(path, workplace.official)
        before = _broken_before(path, workplace, unit, norm, budget)
        try:
            table, offers = external_rows(workplace, unit, offered, by, norm, budget, before)
        except (CallFailed, HostFailed) as error:
            raise BenchError(f"'{entry}' could not be asked: {error}; 'bench validate {entry}' tells more.") from None
        write_table(table, path)
    _print(offers, set(before), path)


def read_offered(file: Path, workplace: "Workplace", unit: "Unit") -> dict[str, "Tensor"]:
    """Read adversarial images by the ids of their clean ones.

    Raises:
        BenchError: the file is none such, names other images than the official ones, or has images of another shape.
    """
    import numpy as np
    import torch

    ids, images = _arrays(file)
    split = workplace.split(unit.dataset, unit.track)
    shape = tuple(split.images.shape[1:])
    if images.ndim != 4 or images.shape[1:] != shape or len(ids) != len(images) or len(ids) == 0:
        raise BenchError(
            f"{file}: images has shape {images.shape} for {len(ids)} ids; give (N, {', '.join(map(str, shape))}), one "
            "image for each id, and one at least."
        )
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255
    elif images.dtype.kind != "f":
        raise BenchError(f"{file}: images is of type {images.dtype}; give float in [0, 1] or uint8.")
    known = set(split.ids)
    if strange := [one for one in ids if one not in known]:
        raise BenchError(
            f"{file}: {len(strange)} ids, such as '{strange[0]}', are no images of the official subset of "
            f"{unit.dataset}.{did_you_mean(strange[0], known)}"
        )
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise BenchError(f"{file}: id '{twice}' is there twice; give each image once.")
    return dict(zip(ids, torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), strict=True))


def _arrays(file: Path) -> "tuple[list[str], Any]":
    import numpy as np

    if not file.is_file():
        raise BenchError(f"{file} is no file; give an npz file with the arrays ids and images.")
    try:
        with np.load(file, allow_pickle=False) as held:
            missing = {"ids", "images"} - set(held.files)
            if missing:
                raise BenchError(f"{file}: array {min(missing)} is missing; give ids and images.")
            ids, images = held["ids"], held["images"]
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(
            f"{file} cannot be read as npz ({error}); write it with numpy.savez, ids as an array of text."
        ) from None
    if ids.ndim != 1 or ids.dtype.kind not in "US":
        raise BenchError(f"{file}: ids is an array {ids.shape} of {ids.dtype}; give one text for each image.")
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in ids], images


def _broken_before(
    path: Path, workplace: "Workplace", unit: "Unit", norm: str, eps: float
) -> Mapping[str, Mapping[str, object]]:
    """Earlier rows of images that outsiders broke, of the same entry, data, matrix and budget."""
    from benchmark.results.store import read_table

    table = read_table(path) if path.is_file() else None
    if table is None:
        return {}
    same = {
        "submission_hash": workplace.entry_hash(unit.submission, unit.dataset),
        "dataset_hash": workplace.split(unit.dataset, unit.track).content_hash,
        "matrix_hash": workplace.matrix_hash,
        "norm": norm,
        "eps_255": eps,
        "skipped": False,
        "correct": False,
        "status": "ok",
    }
    rows = table.to_pylist()
    return {row["sample_id"]: row for row in rows if all(row[name] == value for name, value in same.items())}


def _print(offers: "list[Offer]", before: set[str], path: Path) -> None:
    table = table_of("Image", "Broken", "Note", whole=("Image",))
    for offer in offers:
        known = "before" if offer.sample_id in before else "yes" if offer.broken else "no"
        table.add_row(offer.sample_id, known, offer.note)
    wide_console().print(table)
    broken = sum(offer.broken for offer in offers)
    Console(soft_wrap=True).print(
        f"{broken} of {len(offers)} images break the entry; rows in {path}", highlight=False, markup=False
    )
