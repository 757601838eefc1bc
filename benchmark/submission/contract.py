"""The contract of a submission: every promise that attacks, judge and board rely on, checked in one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmark.data.availability import find_card
from benchmark.data.card import Card
from benchmark.errors import BenchError, did_you_mean
from benchmark.host.limits import Limits
from benchmark.host.line import CallFailed, HostFailed
from benchmark.host.trial import Bench
from benchmark.root import Root
from benchmark.submission.checks import folder
from benchmark.submission.checks.finding import Finding, Status, failed, ok, skipped
from benchmark.submission.checks.probe import Declared, sample
from benchmark.submission.checks.steps import STEPS
from benchmark.submission.entry import Entry
from benchmark.submission.manifest import Manifest, find_folder, read_manifest


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: the check.
        dataset: the data set it was made on; empty for the whole entry.
        status: ok, failed, warning or skipped.
        message: one sentence, or empty.
        seconds: time it took.
    """

    name: str
    dataset: str
    status: Status
    message: str
    seconds: float


@dataclass
class Report:
    """All checks of a submission, and the images that each data set's checks used."""

    submission: str
    checks: list[Check] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[Check]:
        """Checks that failed."""
        return [check for check in self.checks if check.status == "failed"]

    @property
    def passed(self) -> bool:
        """Nothing failed and, on each data set, the defense was really run: skipping everything is no pass."""
        ran = {check.dataset for check in self.checks if check.name == "runs" and check.status == "ok"}
        return not self.failures and bool(self.images) and ran >= set(self.images)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return {
            "submission": self.submission,
            "passed": self.passed,
            "images": self.images,
            "checks": [vars(check) for check in self.checks],
        }


def check_submission(
    root: Root,
    name_or_path: str,
    datasets: Sequence[str] = (),
    data_dir: Path | None = None,
    on_check: Callable[[Check], None] = lambda _check: None,
    limits: Limits | None = None,
) -> Report:
    """Check a submission against the contract.

    Args:
        root: the project.
        name_or_path: name under ``submissions/``, or a folder.
        datasets: names of some of its data sets; all when empty.
        data_dir: where data files lie.
        on_check: told each check as it ends.
        limits: what the defense may take of this machine.

    Raises:
        BenchError: there is no such folder, or it names no such data set.
    """
    where = find_folder(root, name_or_path)
    run = _Run(Report(where.name), on_check)
    try:
        manifest = read_manifest(where)
    except BenchError as error:
        run.note("manifest", "", failed(str(error)))
        return run.report
    for name in datasets:
        if name not in manifest.datasets:
            raise BenchError(
                f"submission '{manifest.name}' does not name data set '{name}'.{did_you_mean(name, manifest.datasets)}"
            )
    try:
        cards = [find_card(name, root) for name in dict.fromkeys(datasets or manifest.datasets)]
    except BenchError as error:
        run.note("manifest", "", failed(str(error)))
        return run.report
    run.note("manifest", "", ok(f"revision {manifest.revision}"))
    fit = run.attempt("folder", "", lambda: folder.contents(where, manifest)).status != "failed"
    run.attempt("task", "", lambda: folder.datasets(manifest, cards))
    for card in cards:
        _check_on(run, Entry(where, manifest), card, root, data_dir, fit, limits or Limits())
    return run.report


class _Run:
    """Collects checks as they end."""

    def __init__(self, report: Report, on_check: Callable[[Check], None]) -> None:
        self.report = report
        self._on_check = on_check

    def note(self, name: str, dataset: str, outcome: Finding, seconds: float = 0.0) -> Finding:
        check = Check(name, dataset, outcome.status, outcome.message, round(seconds, 3))
        self.report.checks.append(check)
        self._on_check(check)
        return outcome

    def attempt(self, name: str, dataset: str, check: Callable[[], Finding]) -> Finding:
        """Make a check; an exception of the submission's code is a failure, not a crash of ours."""
        start = perf_counter()
        try:
            outcome = check()
        except BenchError as error:
            outcome = failed(str(error))
        except HostFailed as error:
            outcome = failed(f"{error}; no defense may end its process, wait without end or take more than its share.")
        except CallFailed as error:
            message = " ".join(str(error).split())[:300]
            outcome = failed(
                f"the defense's code raised {message}; images come as float32 (N, C, H, W) in "
                "[0, 1], in batches of any size."
            )
        return self.note(name, dataset, outcome, perf_counter() - start)


def _check_on(
    run: _Run, entry: Entry, card: Card, root: Root, data_dir: Path | None, fit: bool, limits: Limits
) -> None:
    """Make all checks on one data set; nothing is built of a folder that is not fit."""
    manifest: Manifest = entry.manifest
    images = sample(card, root, data_dir)
    run.report.images[card.name] = images.source
    weights = run.attempt("weights", card.name, lambda: folder.weights(entry.folder, manifest, card))
    results = {"weights": weights.status}
    with Bench(limits) as bench:
        if weights.status == "failed" or not fit:
            what = "weights are" if fit else "folder is"
            results["build"] = run.note("build", card.name, skipped(f"the {what} unfit")).status
        else:
            declared = Declared(manifest.stochastic, manifest.gradient)
            results["build"] = run.attempt(
                "build", card.name, lambda: bench.build(entry.plan(card), declared, images)
            ).status
        for step in STEPS:
            missing = [need for need in step.needs if results[need] not in ("ok", "warning")]
            if missing:
                outcome = run.note(step.name, card.name, skipped(f"needs '{missing[0]}' first"))
            elif not bench.alive:
                outcome = run.note(step.name, card.name, skipped("the defense's process has ended"))
            else:
                outcome = run.attempt(step.name, card.name, lambda name=step.name: bench.check(name))  # type: ignore[misc]
            results[step.name] = outcome.status
