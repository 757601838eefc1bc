"""Training as a whole: stages, seeds, going on after an interruption, and what is written."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.data.card import Card
from benchmark.data.images import ImageSource
from benchmark.data.split import Split
from benchmark.errors import BenchError
from benchmark.randomness import content_seed
from benchmark.submission.weights import load_into, read_weights
from benchmark.training.fit import Best, Fit
from benchmark.training.log import Epoch, Paths
from benchmark.training.methods import FirstStage, Method, MethodContext, build_method
from benchmark.training.part import Part, run_key
from benchmark.training.recipe import Recipe, untrained_network
from benchmark.training.stored import hashes_of_stored
from benchmark.training.target import Target, TrainingReport

__all__ = ["TrainingReport", "train"]

STATISTICS_BYTES = 2**29
"""Images, as floats, from which mean and deviation of the pixels are taken."""


def train(
    recipe: Recipe,
    card: Card,
    splits: tuple[Split, Split],
    target: Path,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    device: str = "cpu",
    beside: Path | None = None,
    on_batch: Callable[[float], None] = lambda _: None,
    overwrite: bool = True,
) -> TrainingReport:
    """Train a network and write its weight file, and beside it a log, a curve and a record of the costs.

    The weight file depends on recipe, data and machine alone: seeds come from the recipe and one thread does the sums.
    A run that was interrupted goes on after its last whole epoch and ends with the same file.

    Args:
        recipe: the recipe.
        card: the data set's card.
        splits: training and validation split; the test split is not within reach.
        target: safetensors file to write.
        on_epoch: called after each epoch, and at once for those of an interrupted run.
        device: cpu or cuda.
        beside: the folder that the recipe's paths are relative to.
        on_batch: called after each batch with its share of an epoch.
        overwrite: replace a weight file that this recipe did not make, of which a copy is kept beside it; otherwise
            such a file is refused before the first epoch.

    Raises:
        BenchError: such a file without ``overwrite``, or a place that cannot be written to; fewer images than one
            batch, a weight file that is missing or does not fit, or a loss that is not finite any more; no file is
            written.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            place = torch.device(device), beside or Path()
            claimed = Target(recipe, card.name, target, overwrite)
            return _Training(recipe, card, splits, claimed, on_epoch, on_batch, *place).run()
    finally:
        torch.set_num_threads(threads)


class _Training:
    """The stages of one run; arguments as in :func:`train`."""

    def __init__(
        self,
        recipe: Recipe,
        card: Card,
        splits: tuple[Split, Split],
        target: Target,
        on_epoch: Callable[[Epoch], None],
        on_batch: Callable[[float], None],
        device: torch.device,
        beside: Path,
    ) -> None:
        self.recipe, self.card, self.device, self.beside = recipe, card, device, beside
        self.training, self.validation = splits
        self.on_epoch, self.on_batch = on_epoch, on_batch
        self.target = target
        self.stored = hashes_of_stored(recipe, card, beside)
        self.part = Part(Paths(target.path).part, run_key(recipe, splits, self.stored, device))
        self.past = self.part.read() or {}
        self.log: list[Epoch] = []

    def run(self) -> TrainingReport:
        method = build_method(MethodContext(self.recipe, self.card, self.beside, self.device))
        first = method.first_stage(self.training)
        split, before = self.training, None
        if first is not None:
            before = self._first_stage(first)
            network = self._fresh(first.recipe, "first")
            network.load_state_dict(before)
            split = method.after_first_stage(network.to(self.device).eval(), self.training)
        best, network = self._stage(self.recipe, method, split, before)
        network.load_state_dict(best.weights)
        if self.recipe.surgery is not None:
            network = self.recipe.surgery.stored(network)
        report = self.target.store(network, self.training, self.log, best.epoch, self.stored, self.device.type)
        self.part.remove()
        return report

    def _first_stage(self, first: FirstStage) -> dict[str, Tensor]:
        """Weights of the network that goes before, trained now or before an interruption."""
        if self.past.get("before") is None:
            return self._stage(first.recipe, first.method, first.split, None, first_stage=True)[0].weights
        for fields in self.past["before_log"]:
            self._told(Epoch(**{**fields, "resumed": True}))
        return {name: value.to(self.device) for name, value in self.past["before"].items()}

    def _stage(
        self,
        recipe: Recipe,
        method: Method,
        split: Split,
        before: dict[str, Tensor] | None,
        first_stage: bool = False,
    ) -> tuple[Best, nn.Module]:
        name = "first" if first_stage else "main"
        network = self._fresh(recipe, name).to(self.device)
        fit = Fit(recipe, method, network, split, self.device, first_stage)
        before_log = [vars(epoch) for epoch in self.log]
        if self.past.get("stage") == name:
            fit.load_state(self.past["fit"])
            for epoch in fit.log:
                self._told(epoch)

        def keep(epoch: Epoch) -> None:
            self.part.write({"stage": name, "before": before, "before_log": before_log, "fit": fit.state()})
            self._told(epoch)

        try:
            return fit.run(self.validation, keep, self.on_batch), network
        except BenchError:
            self.part.remove()
            raise

    def _told(self, epoch: Epoch) -> None:
        self.log.append(epoch)
        self.on_epoch(epoch)

    def _fresh(self, recipe: Recipe, stage: str) -> nn.Module:
        """The network that a stage begins with; seeds torch's own generator, from which it takes its weights."""
        parts = ("train", self.recipe.seed, self.card.name) if stage == "main" else ("train", stage, self.recipe.seed)
        torch.manual_seed(content_seed(*parts) % 2**63)
        images = _for_statistics(self.training.pixels)
        statistics = {"mean": images.mean(dim=(0, 2, 3)).tolist(), "std": images.std(dim=(0, 2, 3)).tolist()}
        network = untrained_network(recipe, self.card, **statistics)
        if recipe.start_from is not None:
            start = self.beside / recipe.start_from.format(dataset=self.card.name)
            network = load_into(network, read_weights(start), str(start))
        return network if recipe.surgery is None else recipe.surgery.doubled(network)


def _for_statistics(pixels: ImageSource) -> Tensor:
    """All images, or of a set that is larger than :data:`STATISTICS_BYTES` as many of them, evenly spread."""
    return pixels[:: -(-pixels.float_bytes // STATISTICS_BYTES) or 1]
