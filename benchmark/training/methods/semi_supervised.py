"""Semi-supervised adversarial training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.data.split import Split
from benchmark.errors import BenchError
from benchmark.randomness import content_seed
from benchmark.task.build import task_of
from benchmark.training.batches import Batch
from benchmark.training.inner import attacked
from benchmark.training.methods.base import Examples, FirstStage, Method, MethodContext
from benchmark.training.methods.first import first_recipe
from benchmark.training.methods.plain import Natural

CHUNK = 512
"""Images that are named at once."""


class SemiSupervised(Method):
    """SSAT (Li et al. 2020, as the survey tells of it): pseudo-labels first, then the adversarial risk on all images.

    ``labelled`` of each class keeps its labels, by a draw that hangs on the images' names; the labels of the others are
    never looked at. A network trained naturally on the former names the latter; then
    min sum_labelled CE(f(x'), y) + weight sum_others CE(f(x'), pseudo-label), x' as in PGD-AT. The survey gives neither
    share nor weight. Class balance is that of true and pseudo-labels together.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        assert context.recipe.semi_supervised is not None
        self.settings = context.recipe.semi_supervised
        self.counts = torch.zeros(0)

    def labelled(self, split: Split) -> Tensor:
        """Places of the images that keep their labels, ascending.

        Raises:
            BenchError: a class would keep no label.
        """
        chosen: list[int] = []
        for label, name in enumerate(split.classes):
            places = (split.labels == label).nonzero().flatten().tolist()
            keep = round(len(places) * self.settings.labelled)
            if places and keep == 0:
                raise BenchError(
                    f"[semi_supervised] labelled = {self.settings.labelled} leaves class '{name}' of '{split.dataset}' "
                    f"none of its {len(places)} labels; raise it."
                )
            places.sort(key=lambda place: content_seed("labelled", self.recipe.seed, split.ids[place]))
            chosen += places[:keep]
        return torch.tensor(sorted(chosen), dtype=torch.long)

    def first_stage(self, split: Split) -> FirstStage:
        """The network that names the images without a label: trained on the others alone."""
        recipe = first_recipe(self.recipe, self.settings.epochs)
        context = MethodContext(recipe, self.context.card, self.context.beside, self.context.device)
        return FirstStage(recipe, Natural(context), split.subset(self.labelled(split)))

    def after_first_stage(self, network: nn.Module, split: Split) -> Split:
        """Replace every hidden label by what the network says."""
        with torch.no_grad():
            said = [
                network(split.pixels[first : first + CHUNK].to(self.context.device)).argmax(dim=1)
                for first in range(0, len(split), CHUNK)
            ]
        known = self.labelled(split)
        labels = torch.cat(said).cpu()
        labels[known] = split.labels[known]
        self.counts = torch.full((len(split),), self.settings.weight)
        self.counts[known] = 1.0
        return split.relabelled(labels)

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Attack with the benchmark's PGD."""
        task = task_of(self.context.card)
        found = attacked(network, self.adversary(batch.epoch), batch.images, batch.labels, batch.draw, task)
        counts = self.counts[batch.places].to(batch.images.device)
        return Examples(batch.images, batch.labels, found, weights=counts)

    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """Weighted mean of CE(f(x'), y)."""
        assert examples.weights is not None
        each = F.cross_entropy(network(examples.attacked), examples.labels, reduction="none")
        return (examples.weights * each).sum() / examples.weights.sum().clamp_min(1e-12)
