"""Compare every attack of the registry with other implementations; the table is in ``docs/attack_parity.md``.

Usage: ``python docs/attack_parity.py [--only NAME] [--write]``. Each finished comparison is saved in a JSON file, so an
interrupted run continues where it stopped. A change of the attacks' code, of the benchmark's version or of a peer's
version starts a new file. A change of ``docs/parity`` does not: use ``--fresh`` to run the chosen comparisons again.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from parity.boundary import BOUNDARY
from parity.case import ROOT, Case, Found, Line, made, peers
from parity.others import FEATURES, FITTED, SUITES
from parity.queries import QUERIES
from parity.steps import STEPS

from benchmark import __version__

DOCUMENT = ROOT / "docs" / "attack_parity.md"
OUTPUT = Path(tempfile.gettempdir()) / "medrobustbench-attack-parity"
SOURCES = ("benchmark/attacks/*.py", "benchmark/access/*.py", "tests/attacks/problem.py", "tests/attacks/peers.py")
LINES = [*STEPS, *BOUNDARY, *FEATURES, *QUERIES, *FITTED, *SUITES]
TOLERANCE = 0.01
PACKAGES = ("torch", "torchattacks", "pyautoattack", "foolbox", "adversarial-robustness-toolbox")
UNITS = {"linf": "{:g}/255", "l2": "{:g}/255 rms", "l0": "{:g} pixels"}
NORMS = {"linf": "L-inf", "l2": "L2", "l0": "L0"}
HEADER = ("attack", "norm, eps", "classes", "ours", "peer", "peer's result", "note")
NO_PEER = "no peer; "

Result = dict[str, float | int | None]


class Kept:
    """Saved results of finished comparisons, written after each one."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self._path, self._fresh = path, fresh
        self._results: dict[str, Result] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self._made: set[str] = set()

    def result(self, key: str, make: Callable[[], Result]) -> Result:
        """The result saved under ``key``, else that of ``make``."""
        if key not in self._results or (self._fresh and key not in self._made):
            self._results[key] = make()
            self._made.add(key)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(self._results, indent=1), "utf-8")
            part.replace(self._path)
        return self._results[key]


def fingerprint() -> str:
    """Hash of the code of our attacks, of the problem and of the calls of peers, and of all versions."""
    seen = hashlib.sha256(_versions().encode())
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def measured(line: Line, case: Case, call: Callable[[Case], Found]) -> Result:
    """Robust accuracy, queries, and processor seconds, which exclude other work on the machine."""
    with peers.leaving_no_trace():
        start = time.process_time()
        found = call(case)
        seconds = time.process_time() - start
    robust = (case.robust_or_rejected if line.detector else case.robust)(found.candidates)
    return {"robust": round(robust, 4), "seconds": round(seconds, 2), "queries": found.queries}


def compared(lines: list[Line], kept: Kept) -> Iterator[tuple[str, ...]]:
    """The table's cells, row by row."""
    for line in lines:
        for classes in line.classes:
            case = made(classes, line.natural, line.images, line.norm, line.eps_255)
            where = f"{line.title}|{line.norm}|{line.eps_255:g}|{classes}|{line.images}|{sorted(line.params.items())}"
            ours = kept.result(where, partial(measured, line, case, line.ours))
            for peer in line.peers:
                theirs = kept.result(
                    f"{where}|{peer.package}|{peer.name}",
                    partial(measured, line, case, peer.call),
                )
                name = f"{peer.package} {version(peer.package)}: {peer.name}" if peer.package else NO_PEER + peer.name
                yield (
                    line.title,
                    f"{NORMS[line.norm]}, {UNITS[line.norm].format(line.eps_255)}",
                    f"{classes}, natural" if line.natural else str(classes),
                    _shown(ours),
                    name,
                    _shown(theirs),
                    peer.note,
                )


def _shown(result: Result) -> str:
    queries = f", {result['queries']} queries" if result["queries"] else ""
    return f"{100 * (result['robust'] or 0):.1f} %, {result['seconds']:.2f} s{queries}"


def share(cell: str) -> float:
    """The robust accuracy in a cell of the table, in [0, 1]."""
    return float(cell.split(" %")[0]) / 100


def weaker(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows in which our robust accuracy is higher by more than the tolerance."""
    return [row for row in rows if share(row[3]) > share(row[5]) + TOLERANCE + 1e-9]


def document(rows: list[tuple[str, ...]]) -> str:
    """The whole document."""
    cells = [HEADER, tuple("---" for _ in HEADER), *rows]
    table = "\n".join("| " + " | ".join(row) + " |" for row in cells)
    counts = [line.images for line in LINES]
    return f"""# Our attacks compared with other implementations

Generated by `python docs/attack_parity.py --write`; do not edit by hand. A *peer* is another implementation of the same
attack. An attack without a peer ("no peer") is compared with a substitute: another attack of ours or random signs.

- Problem: scikit-learn's 8 x 8 handwritten digits, the class being the digit modulo the number of classes; a network of
  two convolutions, trained on 1200 images with adversarial examples of 16/255, or without ("natural"). Code:
  `tests/attacks/problem.py`.
- Images: the first {min(counts)} to {max(counts)} test images that the network classifies correctly; ours and the peer
  attack the same images.
- Settings: `docs/parity/`. Ours and the peer take the same number of steps and, as far as the peer has such a setting,
  of queries.
- Robust accuracy: share of images that are robust. An image is robust if it stays correctly classified, if its
  adversarial image lies outside the ball or the box, or if a detector rejects its adversarial image. A lower robust
  accuracy means a stronger attack.
- L2 radii are root mean squares per component, L0 radii numbers of pixels, as everywhere in this benchmark.
- Seconds: processor time of one thread, without other work on the machine. Queries: the most for any image.
- Versions: {_versions()}.

{table}

## Summary

{_summary(rows)}
"""


def _versions() -> str:
    return ", ".join([f"medrobustbench {__version__}", *(f"{package} {version(package)}" for package in PACKAGES)])


def _summary(rows: list[tuple[str, ...]]) -> str:
    beside = [row for row in rows if not row[4].startswith(NO_PEER)]
    stronger = [row for row in beside if share(row[3]) < share(row[5]) - TOLERANCE - 1e-9]
    behind, alone = weaker(beside), weaker([row for row in rows if row not in beside])
    faster = sum(_seconds(row[3]) < _seconds(row[5]) for row in beside)
    lines = [
        f"There are {len(beside)} comparisons with a peer. Our attack is stronger by more than a point in "
        f"{len(stronger)}, within a point in {len(beside) - len(stronger) - len(behind)}, and weaker by more than a "
        f"point in {len(behind)}. It takes less time in {faster}.",
        "",
        "Weaker than a peer by more than a point:" if behind else "In none is it weaker by more than a point.",
        *([""] if behind else []),
        *(_behind(row) for row in behind),
    ]
    if alone:
        lines += ["", "Without a peer, and weaker than the substitute by more than a point:", ""]
        lines += [_behind(row) for row in alone]
    return "\n".join(lines)


def _behind(row: tuple[str, ...]) -> str:
    points = 100 * (share(row[3]) - share(row[5]))
    classes = row[2].replace(", ", " classes, ") if ", " in row[2] else f"{row[2]} classes"
    note = f"Note: {row[6]}." if row[6] else "The reason is not known."
    return f"- {row[0]}, {row[1]}, {classes}: by {points:.1f} points against {row[4].removeprefix(NO_PEER)}. {note}"


def _seconds(cell: str) -> float:
    return float(cell.split("%, ")[1].split(" s")[0])


def main() -> None:
    """Run the chosen comparisons and print their rows; write the document on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="run this attack only")
    parser.add_argument("--write", action="store_true", help="write the document (all attacks)")
    parser.add_argument("--fresh", action="store_true", help="run saved comparisons again")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder of saved results (default: {OUTPUT})")
    given = parser.parse_args()
    chosen = [line for line in LINES if given.only in (None, line.attack)]
    if not chosen:
        parser.error(f"no attack '{given.only}'; known are {', '.join(sorted({line.attack for line in LINES}))}")
    if given.only and given.write:
        parser.error("--write needs all attacks: omit --only (finished comparisons are saved)")
    torch.set_num_threads(1)
    rows = []
    for row in compared(chosen, Kept(given.output / f"{fingerprint()}.json", given.fresh)):
        print(" | ".join(row), flush=True)
        rows.append(row)
    if given.write:
        DOCUMENT.write_text(document(rows), "utf-8")


if __name__ == "__main__":
    main()
