"""Training of filters that stand before a classifier: ComDefend, and the representation guided denoiser."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from benchmark.data.card import Card
from benchmark.data.images import ImageSource
from benchmark.data.split import Split
from benchmark.defense.stages import FilteredClassifier
from benchmark.errors import BenchError
from benchmark.models import build_network
from benchmark.models.comdefend import ComDefend
from benchmark.models.denoiser import DenoisingUNet
from benchmark.randomness import Randomness, content_seed
from benchmark.submission.weights import load_into, read_weights, sha256_of
from benchmark.task.build import task_of
from benchmark.training.batches import balanced_places, shifted
from benchmark.training.filter_recipe import FilterRecipe, read_filter_recipe
from benchmark.training.fit import Best, check_enough, check_finite, ended
from benchmark.training.inner import attacked
from benchmark.training.log import Epoch, Paths
from benchmark.training.part import Part, run_key
from benchmark.training.target import Target, TrainingReport
from benchmark.training.validate import accuracy, as_stored, attacked_split

__all__ = ["FilterRecipe", "filtered_classifier", "read_filter_recipe", "train_filter"]


def train_filter(
    recipe: FilterRecipe,
    card: Card,
    splits: tuple[Split, Split],
    target: Path,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    device: str = "cpu",
    beside: Path | None = None,
    on_batch: Callable[[float], None] = lambda _: None,
    overwrite: bool = True,
) -> TrainingReport:
    """Train a filter and write one file with its weights and the classifier's, and beside it a log and a curve.

    The weight file depends on recipe, data, classifier and machine alone: seeds come from the recipe and one thread
    does the sums. A run that was interrupted goes on after its last whole epoch and ends with the same file. The
    classifier is not trained. Accuracies of an epoch are those of classifier and filter together on
    the validation split; ``robust`` is under the recipe's adversary, who attacks the bare classifier and knows of no
    filter.

    Args:
        recipe: the recipe.
        card: the data set's card.
        splits: training and validation split; the test split is not within reach.
        target: safetensors file to write, to be loaded into :func:`filtered_classifier`'s kind of network.
        on_epoch: called after each epoch, and at once for those of an interrupted run.
        device: cpu or cuda.
        beside: the folder that the recipe's paths are relative to.
        on_batch: called after each batch with its share of an epoch.
        overwrite: replace a weight file that this recipe did not make, of which a copy is kept beside it; otherwise
            such a file is refused before the first epoch.

    Raises:
        BenchError: such a file without ``overwrite``, or a place that cannot be written to; fewer images than one
            batch, a classifier's weight file that is missing or does not fit, or a loss that is not finite any more; no
            file is written.
    """
    claimed = Target(recipe, card.name, target, overwrite)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(content_seed("filter", recipe.seed, card.name) % 2**63)
            training = _Training(recipe, card, splits, torch.device(device), beside or Path())
            key = run_key(recipe, splits, training.begun_from, training.device)
            part = Part(Paths(target).part, key)
            best = training.run(part, on_epoch, on_batch)
    finally:
        torch.set_num_threads(threads)
    training.whole.filter.load_state_dict(best.weights)
    report = claimed.store(
        training.whole, splits[0], training.log, best.epoch, training.begun_from, training.device.type
    )
    part.remove()
    return report


def filtered_classifier(recipe: FilterRecipe, card: Card) -> FilteredClassifier:
    """The networks of a recipe, the filter with fresh weights from torch's generator.

    Raises:
        BenchError: an unknown architecture, or options that it refuses.
    """
    options = recipe.options
    try:
        filter = (
            ComDefend(card.channels, **options)
            if recipe.method == "comdefend"
            else DenoisingUNet(card.channels, **options)
        )
    except TypeError as error:
        raise BenchError(f"the recipe's [options] do not fit '{recipe.method}': {error}.") from None
    of = recipe.classifier
    classifier_options = {**of.options, **of.dataset_options.get(card.name, {})}
    return FilteredClassifier(
        filter, build_network(of.architecture, len(card.classes), card.channels, **classifier_options)
    )


class _Training:
    """One run; arguments as in :func:`train_filter`."""

    def __init__(
        self, recipe: FilterRecipe, card: Card, splits: tuple[Split, Split], device: torch.device, beside: Path
    ) -> None:
        self.recipe, self.card, self.device = recipe, card, device
        self.training, self.validation = splits
        self.steps = len(self.training) // recipe.batch_size
        check_enough(self.training, recipe.batch_size)
        self.whole = filtered_classifier(recipe, card).to(device)
        named = recipe.classifier.weights.format(dataset=card.name)
        stored = beside / named
        load_into(self.whole.classifier, read_weights(stored), str(stored)).requires_grad_(False)
        self.begun_from = {named: sha256_of(stored)}
        self.classifier = self.whole.classifier.to(memory_format=torch.channels_last)
        self.optimiser = Adam(self.whole.filter.parameters(), recipe.learning_rate)
        self.schedule = OneCycleLR(self.optimiser, recipe.learning_rate, total_steps=recipe.epochs * self.steps)
        self.log: list[Epoch] = []
        self.best: Best | None = None

    def run(self, part: Part, on_epoch: Callable[[Epoch], None], on_batch: Callable[[float], None]) -> Best:
        """Train the epochs that are left, leaving the state in ``part`` after each, and return the best."""
        self._go_on_from(part.read(), on_epoch)
        attacked_validation = self._attacked_validation()
        while not ended(self.recipe, self.log):
            try:
                epoch = self._epoch(len(self.log) + 1, attacked_validation, on_batch)
            except BenchError:
                part.remove()
                raise
            self.log.append(epoch)
            if self.best is None or epoch.chosen_by >= self.best.epoch.chosen_by:
                weights = {name: value.clone() for name, value in self.whole.filter.state_dict().items()}
                self.best = Best(epoch, weights)
            part.write(self._state(self.best))
            on_epoch(epoch)
        assert self.best is not None
        return self.best

    def _state(self, best: Best) -> dict[str, Any]:
        return {
            "filter": self.whole.filter.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "log": [vars(epoch) for epoch in self.log],
            "best": best.epoch.number,
            "weights": best.weights,
        }

    def _go_on_from(self, state: dict[str, Any] | None, on_epoch: Callable[[Epoch], None]) -> None:
        if state is None:
            return
        self.whole.filter.load_state_dict(state["filter"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.log = [replace(Epoch(**fields), resumed=True) for fields in state["log"]]
        self.best = Best(self.log[state["best"] - 1], state["weights"])
        for epoch in self.log:
            on_epoch(epoch)

    def _epoch(self, number: int, attacked_validation: Tensor | None, on_batch: Callable[[float], None]) -> Epoch:
        begun, total = time.perf_counter(), 0.0
        self.whole.filter.train()
        for step, (images, labels) in enumerate(self._batches(number)):
            draw = torch.Generator().manual_seed(content_seed("filter step", self.recipe.seed, number, step))
            loss = self._loss(images, labels, draw)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.schedule.step()
            total += loss.item()
            on_batch(1 / self.steps)
        check_finite(total, self.card.name, number)
        trained = time.perf_counter()
        clean, robust = self._validate(attacked_validation)
        return Epoch(number, total / self.steps, clean, robust, trained - begun, time.perf_counter() - trained)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every training image once, or class-balanced draws, in an order of the epoch's own and shifted at random."""
        draw = torch.Generator().manual_seed(content_seed("filter batches", self.recipe.seed, epoch))
        count = self.steps * self.recipe.batch_size
        if self.recipe.balanced:
            order = balanced_places(self.training.labels, count, draw)
        else:
            order = torch.randperm(len(self.training), generator=draw)[:count]
        for places in torch.split(order, self.recipe.batch_size):
            images = shifted(self.training.pixels[places], self.recipe.shift, draw)
            yield images.to(self.device), self.training.labels[places].to(self.device)

    def _loss(self, images: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        if self.recipe.method == "comdefend":
            return self._compression_loss(images, draw)
        return self._denoising_loss(images, labels, draw)

    def _compression_loss(self, images: Tensor, draw: torch.Generator) -> Tensor:
        """Squared error through a noisy code, and a weight on the code (Jia et al. 2019, equation 4; authors' code)."""
        filter = self.whole.filter
        assert isinstance(filter, ComDefend)
        code = filter.compress(images)
        noise = torch.randn(code.shape, generator=draw).to(code.device) * self.recipe.noise_std
        bits = (code - noise).sigmoid()
        return (filter.restore(bits) - images).square().mean() + self.recipe.code_weight * bits.square().mean()

    def _denoising_loss(self, images: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        """Distance in L1 of the denoised attacked image from the clean one, in logits or pixels (Liao et al. 2018)."""
        adversary = self.recipe.adversary
        assert adversary is not None
        share = float(torch.rand((), generator=draw).clamp(min=0.01))
        weaker = adversary.model_copy(
            update={"eps_255": adversary.eps_255 * share, "alpha_255": adversary.alpha_255 * share}
        )
        seeds = torch.randint(2**62, (len(images),), generator=draw).tolist()
        draw_of = Randomness(seeds, self.device)
        found = attacked(self.classifier, weaker, images, labels, draw_of, task_of(self.card))
        denoised = self.whole.filter(found)
        if self.recipe.guidance == "pixels":
            apart: Tensor = (denoised - images).abs().mean()
            return apart
        with torch.no_grad():
            wanted = self.classifier(images)
        distance: Tensor = (self.classifier(denoised) - wanted).abs().sum(dim=1).mean()
        return distance

    def _attacked_validation(self) -> Tensor | None:
        """The validation images under the full adversary, who attacks the bare classifier: the same in every epoch."""
        adversary = self.recipe.adversary
        if adversary is None:
            return None
        return attacked_split(self.classifier, adversary, self.validation, self.recipe.seed, self.device)

    @torch.no_grad()
    def _validate(self, attacked_images: Tensor | None) -> tuple[float, float | None]:
        """Clean and, with an adversary, robust accuracy of the networks as they would be stored."""
        stored = as_stored(self.whole)

        def right(images: Tensor | ImageSource) -> float:
            parts = (images[first : first + 256].to(self.device) for first in range(0, len(images), 256))
            answers = torch.cat([stored(part).argmax(dim=1) for part in parts])
            return accuracy(answers, self.validation.labels, self.recipe.balanced)

        return right(self.validation.pixels), None if attacked_images is None else right(attacked_images)
