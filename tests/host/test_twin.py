"""A host that attacks ask answers from the fast twin; the judge has a host without one."""

import torch

from benchmark.data.card import Card
from benchmark.host.remote import RemoteDefense
from benchmark.host.residence import Residence
from benchmark.randomness import Randomness

from .conftest import SHORT, Write

CODE = """
class Told(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.conv, self.norm, self.net = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), net
        nn.init.ones_(self.conv.weight), nn.init.zeros_(self.conv.bias)
    def forward(self, images):
        return self.net(self.norm(self.conv(images))) + 0.0

class Telling(Defense):
    def predict(self, images, draw):
        said = super().predict(images, draw)
        return Decision(said.probs, said.label, torch.full((len(images),), float(self.folded())))
    def folded(self):
        return not any(isinstance(part, nn.BatchNorm2d) for part in self.classifier.modules())
    def logits(self, images):
        return super().logits(images) + 100.0 * self.folded()

def build(context):
    return Telling(Told(linear(context)).eval(), context.num_classes)
"""


def asked(write: Write, card: Card, images: torch.Tensor, twin: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and scores of a defense that tells in both whether it is the twin."""
    residence = Residence(write(CODE).plan(card), torch.device("cpu"), SHORT, twin=twin)
    try:
        target = RemoteDefense(residence)
        score = target.predict(images, Randomness(range(len(images)))).score
        assert score is not None
        return target.logits(images), score
    finally:
        residence.close()


def test_attacks_ask_and_follow_the_twin(write: Write, card: Card, images: torch.Tensor) -> None:
    (plain, decided), (twin, decided_beside_it) = (asked(write, card, images, flag) for flag in (False, True))
    assert torch.allclose(twin, plain + 100, atol=1e-3)
    assert decided.tolist() == [0.0] * len(images)
    assert decided_beside_it.tolist() == [1.0] * len(images)
