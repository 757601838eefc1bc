"""The training loop: class-balanced batches, one-cycle SGD, checkpoint chosen on the validation split."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from benchmark.access import white_box
from benchmark.attacks.pgd import Pgd
from benchmark.data.card import Card
from benchmark.data.split import Split
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness, content_seed
from benchmark.submission.weights import load_into, read_weights, save_weights
from benchmark.task import Classification
from benchmark.training.recipe import Adversary, Recipe, untrained_network


@dataclass(frozen=True)
class Epoch:
    """One line of the training log; accuracies in [0, 1], ``robust`` under the recipe's adversary or None."""

    number: int
    loss: float
    clean: float
    robust: float | None

    @property
    def chosen_by(self) -> float:
        """What the checkpoint is chosen by: robust accuracy where the recipe has an adversary, else clean."""
        return self.clean if self.robust is None else self.robust


@dataclass(frozen=True)
class TrainingReport:
    """What a training run made."""

    weights: Path
    sha256: str
    best: Epoch
    log: tuple[Epoch, ...]


def train(
    recipe: Recipe,
    card: Card,
    splits: tuple[Split, Split],
    target: Path,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    device: str = "cpu",
    beside: Path | None = None,
) -> TrainingReport:
    """Train a network and write its weight file.

    The file depends on recipe, data and machine alone: seeds come from the recipe and one thread does the sums.

    Args:
        recipe: the recipe.
        card: the data set's card.
        splits: training and validation split; the test split is not within reach.
        target: safetensors file to write.
        on_epoch: called after each epoch.
        device: cpu or cuda.

    Raises:
        BenchError: fewer images than one batch, or a loss that is not finite any more; no file is written.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(content_seed("train", recipe.seed, card.name) % 2**63)
            network = _initial_network(recipe, card, splits[0].images, beside or Path())
            return _train(recipe, card, splits, target, on_epoch, torch.device(device), network)
    finally:
        torch.set_num_threads(threads)


def _train(
    recipe: Recipe,
    card: Card,
    splits: tuple[Split, Split],
    target: Path,
    on_epoch: Callable[[Epoch], None],
    device: torch.device,
    network: nn.Module,
) -> TrainingReport:
    training, validation = splits
    network = network.to(device)
    steps = len(training) // recipe.batch_size
    if steps < 1:
        raise BenchError(
            f"the training split of '{card.name}' has {len(training)} images, less than one batch of "
            f"{recipe.batch_size}; lower batch_size in the recipe."
        )
    optimiser = SGD(
        network.parameters(),
        recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    schedule = OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps)
    log: list[Epoch] = []
    best: tuple[float, nn.Module] = (-1.0, network)
    for number in range(1, recipe.epochs + 1):
        total = 0.0
        for batch, (images, labels) in enumerate(_balanced_batches(recipe, training, number)):
            images, labels = images.to(device), labels.to(device)
            if recipe.adversary is not None:
                seeds = (content_seed(recipe.seed, number, batch, place) for place in range(len(images)))
                images = _attacked(
                    network, recipe.adversary.at_epoch(number), images, labels, Randomness(seeds, device), card
                )
            network.train()
            optimiser.zero_grad()
            loss = F.cross_entropy(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        if not math.isfinite(total):
            raise BenchError(
                f"training on '{card.name}' diverged in epoch {number} (the loss is {total}); "
                "lower learning_rate in the recipe."
            )
        epoch = Epoch(number, total / max(1, steps), *_validate(network, recipe, validation, card, device))
        log.append(epoch)
        on_epoch(epoch)
        if epoch.chosen_by >= best[0]:
            best = (epoch.chosen_by, copy.deepcopy(network))
    chosen = next(epoch for epoch in reversed(log) if epoch.chosen_by == best[0])
    return TrainingReport(target, save_weights(best[1], target), chosen, tuple(log))


def _initial_network(recipe: Recipe, card: Card, images: Tensor, beside: Path) -> nn.Module:
    statistics = {
        "mean": images.mean(dim=(0, 2, 3)).tolist(),
        "std": images.std(dim=(0, 2, 3)).tolist(),
    }
    network = untrained_network(recipe, card, **statistics)
    if recipe.start_from is None:
        return network
    start = beside / recipe.start_from.format(dataset=card.name)
    return load_into(network, read_weights(start), str(start))


def _balanced_batches(recipe: Recipe, split: Split, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw inverse-frequency weighted batches (survey code), each shifted and, where asked, flipped at random."""
    draw = torch.Generator().manual_seed(content_seed("batches", recipe.seed, epoch))
    counts = torch.bincount(split.labels, minlength=int(split.labels.max()) + 1).float()
    count = len(split) // recipe.batch_size * recipe.batch_size
    chosen = torch.multinomial(1 / counts[split.labels], count, replacement=True, generator=draw)
    for start in range(0, count, recipe.batch_size):
        index = chosen[start : start + recipe.batch_size]
        images = _shifted(split.images[index], recipe.shift, draw)
        if recipe.flip:
            mirrored = torch.rand(len(images), generator=draw) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        yield images, split.labels[index]


def _shifted(images: Tensor, shift: int, draw: torch.Generator) -> Tensor:
    """Translate each image by up to ``shift`` pixels, repeating the border."""
    if shift == 0:
        return images
    height, width = images.shape[2:]
    padded = F.pad(images, (shift,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * shift + 1, (len(images), 2), generator=draw).tolist()
    return torch.stack(
        [image[:, row : row + height, col : col + width] for image, (row, col) in zip(padded, offsets, strict=True)]
    )


def _attacked(
    network: nn.Module, adversary: Adversary, images: Tensor, labels: Tensor, draw: Randomness, card: Card
) -> Tensor:
    """The inner maximisation of Madry et al. 2018, equation 2.1, with batch-norm statistics held still."""
    attack = Pgd(steps=adversary.steps, alpha_255=adversary.alpha_255)
    defense = Defense(network, len(card.classes))
    task = Classification(len(card.classes))
    return attack(white_box(defense, draw.fork("view")), task, images, labels, adversary.eps_255, draw)


def _validate(
    network: nn.Module, recipe: Recipe, split: Split, card: Card, device: torch.device
) -> tuple[float, float | None]:
    """Clean and, where the recipe has an adversary, robust accuracy of the network as it would be stored."""
    stored = copy.deepcopy(network).eval()
    for value in stored.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half().float())
    images, labels = split.images.to(device), split.labels.to(device)
    with torch.no_grad():
        clean = float((stored(images).argmax(dim=1) == labels).float().mean())
    if recipe.adversary is None:
        return clean, None
    draw = Randomness((content_seed("validate", recipe.seed, name) for name in split.ids), device)
    attacked = _attacked(stored, recipe.adversary, images, labels, draw, card)
    with torch.no_grad():
        return clean, float((stored(attacked).argmax(dim=1) == labels).float().mean())
