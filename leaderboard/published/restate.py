"""Restate transcribed tables of papers as ``published.csv``: ``python -m leaderboard.published.restate FOLDER``.

FOLDER holds one CSV per table of a paper, with the columns ``source, table, dataset, task, model, defense, attack,
threat_model, eps_255, steps, metric, value, note``. Cells that were illegible or contradicted themselves are listed in
``excluded_cells.csv`` there; they are in no table and so not in the result. A number whose note disqualifies it stays,
with the reason in ``set_aside``.
"""

import csv
import io
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from benchmark.errors import BenchError
from benchmark.files import read_text
from leaderboard.published import vocabulary as words
from leaderboard.published.table import PUBLISHED, PublishedNumber, write_published

NEEDED = (
    "source", "table", "dataset", "task", "model", "defense", "attack", "threat_model", "eps_255", "steps", "metric",
    "value", "note",
)  # fmt: skip
EXCLUDED = "excluded_cells.csv"

Known = TypeVar("Known")


def restate(folder: Path) -> list[PublishedNumber]:
    """Return every number that the tables in ``folder`` hold, in the order of file names and lines.

    Raises:
        BenchError: the folder holds no table, or a table lacks a column or names something unknown.
    """
    paths = [path for path in sorted(folder.glob("*.csv")) if path.name != EXCLUDED]
    if not paths:
        raise BenchError(f"{folder} holds no CSV tables; give the folder of transcribed tables.")
    return [number for path in paths for number in _of_table(path)]


def _of_table(path: Path) -> list[PublishedNumber]:
    lines = list(csv.DictReader(io.StringIO(read_text(path, "CSV"))))
    found = []
    for index, line in enumerate(lines, start=2):
        missing = [name for name in NEEDED if line.get(name) is None]
        if missing:
            raise BenchError(f"{path}, line {index} lacks {', '.join(missing)}.")
        found.append(_restated(line, f"{path}, line {index}"))
    return found


def _restated(line: dict[str, str], place: str) -> PublishedNumber:
    def known(found: Known | None, column: str) -> Known:
        if found is None:
            raise BenchError(f"{place} has the unknown {column} '{line[column]}'; add it to published/vocabulary.py.")
        return found

    paper = known(words.PAPERS.get(line["source"]), "source")
    images = known(words.images(line["source"], line["dataset"]), "dataset")
    name, setting = known(words.defense(line["defense"]), "defense")
    track, norm, adaptive = known(words.TRACKS.get(line["threat_model"]), "threat_model")
    metric, unit, divisor = known(words.metric(line["metric"]), "metric")
    steps = int(line["steps"]) if line["steps"] and track != "clean" else None
    eps = float(line["eps_255"]) if line["eps_255"] and norm else None
    value = round(float(line["value"]) / divisor, 6)
    task = line["task"].replace("(binary_base)", "")
    caveats = words.caveat(line["note"]), words.as_a_constant(line["source"], line["dataset"], task, metric, value)
    return PublishedNumber(
        source=paper.short, title=paper.title, year=paper.year, table=line["table"],
        dataset=line["dataset"], modality=images.modality, image_size=images.size, test_images=images.test,
        task=task, model=line["model"],
        defense=name, family=words.family(name), setting=setting,
        attack=known(words.attack(line["attack"], steps), "attack"), printed_attack=line["attack"],
        track=track, adaptive=adaptive if words.family(name) not in ("none", "adversarial training") else "",
        norm=norm, eps_255=eps, steps=steps,
        metric=metric, unit=unit, value=value,
        set_aside=_doubt(line, metric, norm), caveat="; ".join(filter(None, caveats)),
    )  # fmt: skip


def _doubt(line: dict[str, str], metric: str, norm: str) -> str:
    """Say why a number must not be put beside another; empty for a sound one."""
    note = line["note"].lower()
    reasons = [reason for sign, reason in words.DOUBTS.items() if sign in note]
    if line["source"] == "robust_eval" and line["attack"] == "PGD":
        reasons.append(words.NORMALISED)
    if norm == "l2":
        reasons.append(words.FOREIGN_L2)
    if metric == "mean_flip_probability" and line["task"].startswith("multilabel"):
        reasons.append(words.SUMMED)
    if metric == "auc" and ("hard labels" in note or "micro-average" in note):
        reasons.append(words.OTHER_AUC)
    if "[train images]" in line["dataset"]:
        reasons.append(words.DOUBTS["evaluated on training images"])
    return "; ".join(dict.fromkeys(reasons))


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of transcribed tables, one CSV each.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = PUBLISHED,
) -> None:
    """Restate the papers' tables in this benchmark's words."""
    try:
        numbers = restate(folder)
    except BenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    write_published(numbers, out)
    sound = sum(not number.set_aside for number in numbers)
    typer.echo(f"{len(numbers)} numbers, {len(numbers) - sound} of them set aside, in {out.name}")


if __name__ == "__main__":
    typer.run(main)
