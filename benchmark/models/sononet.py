"""Attention-gated Sononet (Schlemper et al. 2019), the third classifier of the MedRDF paper."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.errors import BenchError
from benchmark.models.attention import AttentionGate
from benchmark.models.published import Published, Stem, early, scaled, start_convolutions
from benchmark.models.vgg import stacks

TABLE: list[str | int] = [64, 64, 64, "M", 128, 128, 128, "M", 256, 256, 256, "M", 512, 512, "M", 512, 512]
"""Stacks of 3, 3, 3, 2 and 2 convolutions, one pool fewer than VGG: as in the released gated network."""

PUBLISHED = 16
"""Maps of the first stack in Sononet-16, which gives it its number."""


class AgSononet(Published):
    """AG-Sononet-16: fully convolutional stacks as in VGG-16, with gates on the third and the fourth.

    The last stack's maps are the gating signal of both gates and, averaged over positions, the third of three feature
    vectors; the other two are the sums of the gated maps. Feature layers: ``network.stacks.0`` to
    ``network.stacks.4``; ``network.gates.0`` and ``network.gates.1`` are the attention maps.

    Args:
        num_classes: K.
        channels: input channels.
        width: multiplier of every layer's maps; 1 is Sononet-16, 0.5 Sononet-8, 2 Sononet-32.
        stem: "large" has the four pools, for 16 pixels and more; "medium" leaves out the first, for 8 and more;
            "small" the first two, for 4 and more.
        aggregation: "concatenated" is one linear layer over the three vectors; "fine-tuned" one over each and another
            over their predictions, as the paper adds for the last training phase.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another stem or aggregation, or a width that leaves no maps.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: float = 1.0,
        stem: Stem = "small",
        aggregation: Literal["concatenated", "fine-tuned"] = "concatenated",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        if aggregation not in ("concatenated", "fine-tuned"):
            raise BenchError(
                f"AG-Sononet's aggregation '{aggregation}' is not offered. Use 'concatenated' or 'fine-tuned'."
            )
        network = _Network(num_classes, channels, scaled(PUBLISHED, width), stem, aggregation == "fine-tuned")
        super().__init__(network, channels, mean, std, smallest=4 * early(stem))


class _Network(nn.Module):
    def __init__(self, num_classes: int, channels: int, base: int, stem: Stem, per_scale: bool) -> None:
        super().__init__()
        third, fourth = 4 * base, 8 * base
        layers = list(stacks(TABLE, channels, base, stem))
        ends = [index for index, layer in enumerate(layers) if isinstance(layer, (nn.MaxPool2d, nn.Identity))]
        # A gate looks at a stack before its pool, hence the pool opens the next one.
        self.stacks = nn.ModuleList(
            nn.Sequential(*layers[start:end]) for start, end in zip([0, *ends], [*ends, len(layers)], strict=True)
        )
        self.gates = nn.ModuleList(
            AttentionGate(maps, fourth, hidden=fourth, distributed=True) for maps in (third, fourth)
        )
        start_convolutions(self.gates)
        vectors = (third, fourth, fourth)
        self.scales = nn.ModuleList(nn.Linear(maps, num_classes) for maps in vectors) if per_scale else None
        self.classifier = nn.Linear(3 * num_classes if per_scale else sum(vectors), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = []
        flow = images
        for stack in self.stacks:
            flow = stack(flow)
            maps.append(flow)
        gated = [(gate(fine, flow) * fine).sum(dim=(2, 3)) for gate, fine in zip(self.gates, maps[2:4], strict=True)]
        vectors = [*gated, flow.mean(dim=(2, 3))]
        if self.scales is not None:
            vectors = [scale(vector) for scale, vector in zip(self.scales, vectors, strict=True)]
        logits: Tensor = self.classifier(torch.cat(vectors, dim=1))
        return logits
