"""AttnMel (Yan et al., IPMI 2019): the melanoma network that the seed papers attack."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs

from benchmark.models.attention import AttentionGate
from benchmark.models.published import Published, Stem, early, scaled, start_convolutions
from benchmark.models.vgg import stacks


class AttnMel(Published):
    """VGG-16 without its dense layers, two attention modules, and one linear layer over three pooled vectors.

    The modules weigh the maps of the third and the fourth pool by what the fifth has seen; all three are then averaged
    over their positions and concatenated. Batch normalisation follows each convolution,
    as in the released network. Feature layers: ``network.stacks.0`` to ``network.stacks.4``, each with its pool;
    ``network.gates.0`` and ``network.gates.1`` are the attention maps.

    Args:
        num_classes: K.
        channels: input channels.
        width: multiplier of every layer's maps; 1 has 64 in the first stack and 256 in the attention modules.
        stem: "large" has the five pools, for 32 pixels and more; "medium" leaves out the first, for 16 and more;
            "small" the first two, for 8 and more.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another stem, or a width that leaves no maps.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: float = 1.0,
        stem: Stem = "small",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        network = _Network(num_classes, channels, scaled(64, width), stem)
        super().__init__(network, channels, mean, std, smallest=8 * early(stem))


class _Network(nn.Module):
    def __init__(self, num_classes: int, channels: int, base: int, stem: Stem) -> None:
        super().__init__()
        layers = list(stacks(cfgs["D"], channels, base, stem))
        ends = [index + 1 for index, layer in enumerate(layers) if isinstance(layer, (nn.MaxPool2d, nn.Identity))]
        self.stacks = nn.ModuleList(
            nn.Sequential(*layers[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)
        )
        third, fourth = 4 * base, 8 * base
        self.gates = nn.ModuleList(
            AttentionGate(maps, fourth, hidden=third, distributed=False) for maps in (third, fourth)
        )
        start_convolutions(self.gates)
        self.classifier = nn.Linear(third + fourth + fourth, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        pools = []
        flow = images
        for stack in self.stacks:
            flow = stack(flow)
            pools.append(flow)
        gated = [gate(fine, flow) * fine for gate, fine in zip(self.gates, pools[2:4], strict=True)]
        vectors = [maps.mean(dim=(2, 3)) for maps in (*gated, flow)]
        logits: Tensor = self.classifier(torch.cat(vectors, dim=1))
        return logits
