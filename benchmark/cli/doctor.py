"""``bench doctor``: what this machine lacks, and for what."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.markup import escape

from benchmark.cli.output import DataDir, Json, checked_data_dir, print_json, table_of, wide_console
from benchmark.cli.state import root_of
from benchmark.errors import BenchError
from benchmark.root import Root

_COLOURS = {"ok": "green", "optional": "yellow", "missing": "red"}

OPTIONAL = (
    ("matplotlib", "figures of 'bench report' as files", "pip install 'medrobustbench[figures]'"),
    ("playwright", "the tests of the site", "pip install 'medrobustbench[dev]'"),
)
"""Libraries that only some work needs: module, what for, how to get it."""

LITTLE_MEMORY = 6
"""GiB below which two workers of the shipped entries may run short."""


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        what: its name.
        state: ``ok``, ``optional`` (absent, and some work needs it) or ``missing`` (the benchmark needs it).
        found: what is here.
        serves: what it is for.
        mend: what to do; empty where nothing is to be done.
    """

    what: str
    state: Literal["ok", "optional", "missing"]
    found: str
    serves: str
    mend: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor_command)


def doctor_command(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """Tell what this machine lacks, and for what; ends with exit code 1 where the benchmark cannot run."""
    from benchmark.data.files import default_data_dir

    root = root_of(context)
    where = checked_data_dir(data_dir) or default_data_dir()
    lines = [_sandbox(), _torch(), *_machine(), *_libraries(), *_data(root, where)]
    if as_json:
        print_json([asdict(line) for line in lines])
    else:
        table = table_of("What", "State", "Here", "Serves", "What to do", whole=("What", "State"))
        for line in lines:
            state = f"[{_COLOURS[line.state]}]{line.state}[/]"
            table.add_row(escape(line.what), state, escape(line.found), escape(line.serves), escape(line.mend))
        wide_console().print(table)
    if any(line.state == "missing" for line in lines):
        raise typer.Exit(1)


def _sandbox() -> Line:
    from benchmark.host.sandbox import why_unavailable

    serves = "shutting in the code of entries; official rows need it"
    missing = why_unavailable()
    if not missing:
        return Line("bubblewrap", "ok", "entries have no network, no data and no folder but their own", serves)
    mend = "install the package 'bubblewrap'; in a container, allow user namespaces"
    return Line("bubblewrap", "optional", missing, serves, f"{mend}. Until then entries run in bounded processes")


def _torch() -> Line:
    if importlib.util.find_spec("torch") is None:
        return Line("torch", "missing", "not installed", "every network", "pip install torch torchvision")
    import torch

    gpus = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(number) for number in range(gpus)) or "no GPU"
    return Line("torch", "ok", f"{torch.__version__}, Python {sys.version.split()[0]}, {names}", "every network")


def _machine() -> Iterator[Line]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Line("processor", "ok", f"{cores} cores", "'--workers': one for each core unless told")
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        short = memory < LITTLE_MEMORY
        mend = "run with --workers 1 and a smaller --batch-size" if short else ""
        yield Line("memory", "optional" if short else "ok", f"{memory:.0f} GiB", "about 1.5 GiB for each worker", mend)
    browser = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), "")
    state: Literal["ok", "optional"] = "ok" if browser else "optional"
    mend = "" if browser else "install a Chromium"
    yield Line("browser", state, browser or "none found", "the tests of the site", mend)


def _libraries() -> Iterator[Line]:
    from benchmark.data.dicom import optional_libraries

    of_data = [(one.name, one.needed_for, one.remedy) for one in optional_libraries()]
    for module, serves, mend in (*OPTIONAL, *of_data):
        here = importlib.util.find_spec(module) is not None
        found = "installed" if here else "not installed"
        yield Line(module, "ok" if here else "optional", found, serves, "" if here else mend)


def _data(root: Root, where: Path) -> Iterator[Line]:
    from benchmark.data.availability import availability
    from benchmark.data.card import read_card

    for folder in sorted(path.parent for path in root.datasets.glob("*/dataset.toml")):
        serves = f"runs on '{folder.name}'"
        try:
            found = availability(read_card(folder), where)
        except BenchError as error:
            yield Line(folder.name, "optional", "its card is broken", serves, str(error))
            continue
        if found.state == "available":
            yield Line(folder.name, "ok", found.sentence, serves)
        else:
            yield Line(folder.name, "optional", f"data {found.state}", serves, found.sentence)
