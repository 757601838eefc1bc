"""``bench import-weights``: take a checkpoint into an entry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import Console
from benchmark.cli.state import root_of
from benchmark.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from benchmark.submission.importing import Imported
    from benchmark.submission.manifest import Manifest


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import-weights")(import_command)


def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="State dict or checkpoint (.pth, .pt, .ckpt, .bin) or .safetensors.")],
    submission: Annotated[str, typer.Argument(help="Name of a submission, or the path of its folder.")],
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Data set of these weights; may be omitted if the submission has one."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Key of the network in the file, such as model_ema, if it is not obvious."),
    ] = None,
    half: Annotated[
        bool,
        typer.Option("--half", help="Round to half precision: half the size, and a slightly different model."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing weight file; a copy is kept beside the new one.")
    ] = False,
) -> None:
    """Convert a checkpoint to a submission's weight file and enter its sha256; no code from the checkpoint is run."""
    from benchmark.data.availability import find_card
    from benchmark.submission.manifest import find_folder, read_manifest

    root = root_of(context)
    folder = find_folder(root, submission)
    root.refuse_writing(folder, "import into a copy of the entry.")
    manifest = read_manifest(folder)
    card = find_card(_dataset(manifest, dataset), root)
    from benchmark.submission.entry import Entry
    from benchmark.submission.importing import import_weights

    _print(import_weights(Entry(folder, manifest), card, file, key, half, overwrite), file, submission)


def _dataset(manifest: "Manifest", given: str | None) -> str:
    """The data set that is meant.

    Raises:
        BenchError: the entry does not name it, or names several and none is given.
    """
    if given is None and len(manifest.datasets) > 1:
        raise BenchError(
            f"submission '{manifest.name}' names several data sets; give --dataset with one of "
            f"{', '.join(manifest.datasets)}."
        )
    if given is not None and given not in manifest.datasets:
        raise BenchError(
            f"submission '{manifest.name}' does not name data set '{given}'.{did_you_mean(given, manifest.datasets)}"
        )
    return given or manifest.datasets[0]


def _print(done: "Imported", file: Path, submission: str) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    fit = done.fit
    size = done.weights.stat().st_size / 2**20
    console.print(f"{done.weights}\n  sha256 {done.sha256}\n  {len(fit.tensors)} tensors, {size:.2f} MiB, from {file}")
    if fit.stripped:
        console.print(f"  without '{fit.stripped}' before their names")
    if fit.added:
        console.print(f"  with '{fit.added}' before their names, as the entry's network has it")
    if fit.filled:
        console.print(f"  {len(fit.filled)} counters of batch normalisation, which the file lacks, are zero")
    if fit.passed_over:
        console.print(f"  passed over: {_some(fit.passed_over)}, which fit too; --key {fit.passed_over[0]} takes them")
    if fit.left_out:
        console.print(f"  left out: {_some(fit.left_out)}, which the entry's network does not have")
    if done.others:
        console.print(f"  left out: {_some(done.others)}, no tensors")
    for path in done.kept:
        console.print(f"  kept the old file as {path}")
    if done.unmatched:
        _warn(f"the names were not compared with those of the entry's network: {done.unmatched}")
    if done.unbuilt:
        _warn(f"the weights are imported, but the entry cannot be built with them: {done.unbuilt}")
    else:
        console.print(f"the entry loads them; next: run 'bench validate {submission}'")


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _warn(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"warning: {sentence}", style="yellow")
