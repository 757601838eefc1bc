"""Building a defense from a copy of an entry's deployed files: the one place where an entry's code is imported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.interrupts import is_the_users
from benchmark.submission.code import forget, import_file
from benchmark.submission.weights import load_into, read_weights

Network = TypeVar("Network", bound=nn.Module)
Found = TypeVar("Found")


@dataclass(frozen=True)
class BuildContext:
    """What a submission's ``build`` is told: the data set's facts and the entry's own weights, no images, no labels.

    Attributes:
        dataset: name of the data set card.
        num_classes: K.
        channels: 1 or 3.
        size: height and width of the images in pixels, a pair (height, width) where they are not square.
        weights: the tensors of the weight file for this data set, float32; empty where the manifest names none.
        source: what to call the weights in a message.
    """

    dataset: str
    num_classes: int
    channels: int
    size: int | tuple[int, int]
    weights: dict[str, Tensor]
    source: str

    def load_weights(self, network: Network) -> Network:
        """Load the entry's weights into a network and return it in eval mode.

        Raises:
            BenchError: the manifest names no weights for this data set, or they do not fit.
        """
        if not self.weights:
            raise BenchError(f"the manifest names no weights for '{self.dataset}'; add [weights.{self.dataset}].")
        return load_into(network, self.weights, self.source)


@dataclass(frozen=True)
class _Recorder(BuildContext):
    """A context that notes what weights are wanted for instead of loading any."""

    handed: list[nn.Module] = field(default_factory=list)

    def load_weights(self, network: Network) -> Network:
        self.handed.append(network)
        return network.eval()


@dataclass(frozen=True)
class BuildPlan:
    """All that building takes, as plain values.

    Attributes:
        copy: folder of the copy of the deployed files.
        folder: the entry's own folder, by which messages name it.
        present: names of all files of that folder, deployed or not.
        file: the Python file of the entry point, in the copy.
        function: its function.
        dataset, num_classes, channels, size: as in :class:`BuildContext`.
        weights: the weight file in the copy; empty where the manifest names none.
        source: what to call it in a message.
        sha256: of that file; empty where the manifest says none.
    """

    copy: str
    folder: str
    present: Sequence[str]
    file: str
    function: str
    dataset: str
    num_classes: int
    channels: int
    size: int | tuple[int, int]
    weights: str
    source: str
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.size, int):
            object.__setattr__(self, "size", tuple(self.size))  # JSON knows no tuples

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return self.channels, height, width

    @property
    def code(self) -> Path:
        """The entry point's file, as its author knows it."""
        return Path(self.folder) / self.file


def build(plan: BuildPlan) -> tuple[Defense, str]:
    """Import the entry's code and build its defense; also returns the name of its private package, to forget it.

    Raises:
        BenchError: its weights are unfit, its code fails or returns something other than a Defense of the data set's
            classes.
    """
    defense, package = _built(plan, _context(plan))
    try:
        return _checked(plan, defense), package
    except BenchError:
        forget(package)
        raise


def network(plan: BuildPlan) -> nn.Module:
    """Build the network for which the entry's code wants its weights, whatever weights there are.

    Raises:
        BenchError: as :func:`build`, or the code never calls ``context.load_weights``.
    """
    recorder = _Recorder(plan.dataset, plan.num_classes, plan.channels, plan.size, {}, plan.folder)
    try:
        forget(_built(plan, recorder)[1])
    except BenchError:
        # What comes after the network may need the weights' values.
        if not recorder.handed:
            raise
    if not recorder.handed or not isinstance(recorder.handed[0], nn.Module):
        raise BenchError(f"{plan.code} hands no network to context.load_weights; load the weights with it.")
    return recorder.handed[0]


def _context(plan: BuildPlan) -> BuildContext:
    weights: dict[str, Tensor] = {}
    if plan.weights:
        try:
            weights = read_weights(Path(plan.copy) / plan.weights, plan.sha256 or None)
        except BenchError as error:
            raise BenchError(str(error).replace(str(Path(plan.copy) / plan.weights), plan.source)) from None
    return BuildContext(plan.dataset, plan.num_classes, plan.channels, plan.size, weights, plan.source)


def _built(plan: BuildPlan, context: BuildContext) -> tuple[object, str]:
    """Import the entry point anew and call it."""
    copy, path = Path(plan.copy), plan.code
    module = _run(plan, f"{path} cannot be imported:", "mend that file", lambda: import_file(copy, plan.file))
    package = module.__name__.partition(".")[0]
    try:
        function = getattr(module, plan.function, None)
        if not callable(function):
            raise BenchError(f"{path} has no function '{plan.function}', which the entry point names; add it.")
        failed = f"{path}: building the defense for '{plan.dataset}' failed with"
        return _run(plan, failed, "run 'bench validate' after mending it", lambda: function(context)), package
    except BaseException:
        forget(package)
        raise


def _checked(plan: BuildPlan, defense: object) -> Defense:
    if not isinstance(defense, Defense):
        raise BenchError(f"{plan.code}: {plan.function} returned {type(defense).__name__}; return a Defense.")
    if defense.num_classes != plan.num_classes:
        raise BenchError(
            f"{plan.code}: the defense has {defense.num_classes} classes, data set '{plan.dataset}' has "
            f"{plan.num_classes}; use context.num_classes."
        )
    return defense.eval()


def _run(plan: BuildPlan, what: str, mend: str, step: Callable[[], Found]) -> Found:
    """Run a step of the entry's code; what it raises becomes one sentence, in terms of the entry's own folder."""
    try:
        return step()
    except BenchError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and is_the_users():
            raise
        told = str(error).replace(plan.copy, plan.folder)
        raise BenchError(f"{what} {type(error).__name__}: {told}; {_not_deployed(plan, error, mend)}.") from error


def _not_deployed(plan: BuildPlan, error: BaseException, mend: str) -> str:
    """Say so where the code missed a file that lies in the folder but tells of the entry only."""
    missing = Path(str(getattr(error, "filename", None) or "")).name
    if isinstance(error, FileNotFoundError) and missing in plan.present:
        return (
            f"{missing} is not deployed: manifest, README, recipes, logs and weights of other data sets are not; "
            "put what the code reads into a file of another name"
        )
    return mend
