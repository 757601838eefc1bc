"""One stage of training: one-cycle SGD over balanced batches, the checkpoint chosen on the validation split."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from benchmark.data.split import Split
from benchmark.defense.surgery import statistics
from benchmark.errors import BenchError
from benchmark.training.awp import perturbed_weights
from benchmark.training.batches import Batch, balanced_batches, images_an_epoch
from benchmark.training.ema import Average
from benchmark.training.filter_recipe import FilterRecipe
from benchmark.training.log import Epoch
from benchmark.training.methods import Method
from benchmark.training.recipe import Recipe
from benchmark.training.validate import validate

State = dict[str, Any]


@dataclass
class Best:
    """The epoch that validation likes best, the later of equals, and its weights."""

    epoch: Epoch
    weights: dict[str, Tensor]


def ended(recipe: Recipe | FilterRecipe, log: Sequence[Epoch]) -> bool:
    """Whether all epochs are done, or the recipe's patience: epochs since one was better than all before it."""
    if recipe.patience is None or not log:
        return len(log) >= recipe.epochs
    best = max(epoch.chosen_by for epoch in log)
    first = next(number for number, epoch in enumerate(log, start=1) if epoch.chosen_by == best)
    return len(log) >= min(recipe.epochs, first + recipe.patience)


def check_enough(split: Split, batch_size: int) -> None:
    """Refuse a training split that does not fill one batch.

    Raises:
        BenchError: it has fewer images.
    """
    if len(split) < batch_size:
        raise BenchError(
            f"the training split of '{split.dataset}' has {len(split)} images, less than one batch of "
            f"{batch_size}; lower batch_size in the recipe."
        )


def check_finite(loss: float, dataset: str, epoch: int) -> None:
    """Refuse to go on from a loss that is no number.

    Raises:
        BenchError: it is infinite or not a number.
    """
    if not math.isfinite(loss):
        raise BenchError(
            f"training on '{dataset}' diverged in epoch {epoch} (the loss is {loss}); "
            "lower learning_rate in the recipe."
        )


class Fit:
    """One stage.

    Args:
        recipe: of this stage.
        method: of this stage.
        network: to train, on its device already.
        split: the training images.
        device: where it runs.
        first_stage: whether another stage follows.

    Raises:
        BenchError: fewer images than one batch.
    """

    def __init__(
        self, recipe: Recipe, method: Method, network: nn.Module, split: Split, device: torch.device, first_stage: bool
    ) -> None:
        self.recipe, self.method, self.network, self.split, self.device = recipe, method, network, split, device
        self.first_stage = first_stage
        self.steps = images_an_epoch(recipe, split) // recipe.batch_size
        check_enough(split, recipe.batch_size)
        if recipe.adversary is not None:
            network.to(memory_format=torch.channels_last)
        self.optimiser = SGD(
            network.parameters(),
            recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.schedule = OneCycleLR(self.optimiser, recipe.learning_rate, total_steps=recipe.epochs * self.steps)
        self.average = None if recipe.ema is None else Average(network, recipe.ema.decay)
        self.log: list[Epoch] = []
        self.best: Best | None = None
        method.begin(split)

    def run(self, validation: Split, after_epoch: Callable[[Epoch], None], on_batch: Callable[[float], None]) -> Best:
        """Train the epochs that are left and return the best.

        Args:
            validation: decides the checkpoint.
            after_epoch: called after each epoch, when :meth:`state` is fit to be stored.
            on_batch: called after each batch with its share of an epoch.

        Raises:
            BenchError: the loss is not finite any more.
        """
        while not ended(self.recipe, self.log):
            after_epoch(self._epoch(len(self.log) + 1, validation, on_batch))
        assert self.best is not None
        return self.best

    def _epoch(self, number: int, validation: Split, on_batch: Callable[[float], None]) -> Epoch:
        begun = time.perf_counter()
        total = 0.0
        for batch in balanced_batches(self.recipe, self.split, number, self.device):
            total += self._step(batch)
            on_batch(1 / self.steps)
        check_finite(total, self.split.dataset, number)
        self.method.end_epoch()
        trained = time.perf_counter()
        shown = self.network if self.average is None else self.average.network
        clean, robust = validate(shown, self.recipe, validation, self.device)
        ended = time.perf_counter()
        epoch = Epoch(number, total / self.steps, clean, robust, trained - begun, ended - trained, self.first_stage)
        self.log.append(epoch)
        if self.best is None or epoch.chosen_by >= self.best.epoch.chosen_by:
            self.best = Best(epoch, {name: value.clone() for name, value in shown.state_dict().items()})
        return epoch

    def _step(self, batch: Batch) -> float:
        network, awp = self.network, self.recipe.awp
        # Attacked images are made with the statistics that they are learnt with.
        with statistics(network, "auxiliary"):
            examples = self.method.examples(network.eval(), batch)
        network.train()

        def loss_now() -> Tensor:
            return self.method.loss(network, examples)

        perturb = awp is not None and batch.epoch > awp.warmup
        with perturbed_weights(network, loss_now, awp.gamma) if awp is not None and perturb else nullcontext():
            self.optimiser.zero_grad()
            loss = loss_now()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        self.schedule.step()
        if self.average is not None:
            self.average.follow(network)
        return loss.item()

    def state(self) -> State:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "updates": 0 if self.average is None else self.average.updates,
            "method": self.method.state(),
            "log": [vars(epoch) for epoch in self.log],
            "best": None if self.best is None else self.best.epoch.number,
            "weights": {} if self.best is None else self.best.weights,
            # Networks with dropout draw from torch's own generators.
            "generator": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state(self, state: State) -> None:
        """Go on from :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])
            self.average.updates = state["updates"]
        self.method.load_state(state["method"])
        self.log = [replace(Epoch(**fields), resumed=True) for fields in state["log"]]
        if state["best"] is not None:
            self.best = Best(self.log[state["best"] - 1], state["weights"])
        torch.set_rng_state(state["generator"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self.device)
