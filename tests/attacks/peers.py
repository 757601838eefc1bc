"""Other libraries' attacks called all in one way: candidates for ``toy``'s network, images and labels.

Shared by the tests of parity and by the table in docs. ``toy`` is a :class:`problem.Problem`; radii are in [0, 1].
"""

import contextlib
import io
import random
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import foolbox
import numpy as np
import torch
import torchattacks
from art.attacks.evasion import SaliencyMapMethod, UniversalPerturbation
from art.estimators.classification import PyTorchClassifier
from pyautoattack import AutoAttack
from torch import Tensor, nn


@contextlib.contextmanager
def leaving_no_trace(seed: int = 0) -> Iterator[None]:
    """Peers draw from global generators, seed them, print, and end a debugger's or a coverage tool's trace."""
    trace, numbers, others = sys.gettrace(), np.random.get_state(), random.getstate()
    with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield
    np.random.set_state(numbers)
    random.setstate(others)
    sys.settrace(trace)


class Counted(nn.Module):
    """A network that counts the images it is asked about, and takes them in double precision too."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return self.net(images.float())


class Grey(nn.Module):
    """A network for one channel that takes three."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.mean(dim=1, keepdim=True))


def of_art(net: nn.Module, num_classes: int, shape: Sequence[int] = (1, 8, 8)) -> PyTorchClassifier:
    """A copy of the network, as ART wants it: its attacks leave hooks behind."""
    return PyTorchClassifier(
        deepcopy(net).eval(),
        nn.CrossEntropyLoss(),
        tuple(shape),
        num_classes,
        clip_values=(0, 1),
        device_type="cpu",
    )


def art_with(
    make: Any, toy: Any, wanted: np.ndarray | None = None, net: nn.Module | None = None, **params: Any
) -> Tensor:
    """Candidates of ART's attack ``make`` with these parameters; ``wanted`` replaces the labels."""
    attack = make(of_art(toy.net if net is None else net, toy.num_classes), **params)
    wanted = toy.labels.numpy() if wanted is None else wanted
    return torch.from_numpy(attack.generate(toy.images.numpy(), wanted)).float()


def foolbox_with(attack: Any, toy: Any, radius: float) -> Tensor:
    """Candidates of a foolbox attack, already made those of a fixed budget."""
    model = foolbox.PyTorchModel(toy.net.eval(), bounds=(0, 1), device="cpu")
    _, candidates, _ = attack(model, toy.images, toy.labels, epsilons=radius)
    found: Tensor = candidates
    return found


def foolbox_hopskipjump(toy: Any, norm: str, steps: int = 5) -> tuple[Tensor, int]:
    """The nearest points that foolbox finds, and its queries per image."""
    net = Counted(toy.net).eval()
    target = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.HopSkipJumpAttack(steps=steps, initial_gradient_eval_steps=100, constraint=norm)
    found, _, _ = peer(target, toy.images, foolbox.criteria.Misclassification(toy.labels), epsilons=None)
    return found, net.images // len(toy.images)


def torchattacks_tim(toy: Any, eps: float) -> Tensor:
    """TIFGSM builds its kernel for three channels and raises for any other number: it is given a grey RGB image.

    With ``nsig`` 3 its kernel of side 3 has our standard deviation, a third of a pixel.
    """
    peer = torchattacks.TIFGSM(
        Grey(toy.net).eval(), eps=eps, alpha=eps / 10, steps=10, decay=1.0, len_kernel=3, nsig=3, diversity_prob=0.0
    )
    found: Tensor = peer(toy.images.expand(-1, 3, -1, -1).contiguous(), toy.labels)
    return found.mean(dim=1, keepdim=True)


def torchattacks_one_pixel(toy: Any, pixels: int) -> tuple[Tensor, int]:
    """One image at a time, so that the most queries for an image are known."""
    net = Counted(toy.net).eval()
    peer = torchattacks.OnePixel(net, pixels=pixels, steps=40, popsize=40, inf_batch=128)
    found, queries = [], 0
    for image, label in zip(toy.images.split(1), toy.labels.split(1), strict=True):
        net.images = 0
        found.append(peer(image, label))
        queries = max(queries, net.images)
    return torch.cat(found), queries


def art_jsma(toy: Any, pixels: int) -> list[Tensor]:
    """The peer moves pairs one way only and takes a random target; tried are both ways and three targets."""
    return [
        art_with(
            SaliencyMapMethod,
            toy,
            np.eye(toy.num_classes)[((toy.labels + shift) % toy.num_classes).numpy()],
            theta=theta,
            gamma=pixels / 64,
            verbose=False,
        )
        for theta in (1.0, -1.0)
        for shift in range(1, min(toy.num_classes, 4))
    ]


def art_uap(net: nn.Module, num_classes: int, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """ART's universal perturbation (1, 1, 8, 8), fitted on ``images``."""
    peer = UniversalPerturbation(of_art(net, num_classes), eps=eps, delta=0.05, max_iter=2, norm=np.inf, verbose=False)
    peer.attacker_params = {"max_iter": 20, "verbose": False}
    peer.generate(images.numpy(), labels.numpy())
    return torch.from_numpy(peer.noise).float()


def auto_attack(toy: Any, eps: float, norm: str = "Linf") -> Tensor:
    """pyautoattack's standard version."""
    peer = AutoAttack(toy.net, norm=norm, eps=eps, seed=0, version="standard", device="cpu")
    candidates: Tensor = peer.run_standard_evaluation(toy.images, toy.labels)[0]
    return candidates


def custom_auto_attack(toy: Any, eps: float, queries: int = 1000) -> Tensor:
    """The standard version raises IndexError below ten classes; APGD-CE, FAB-T and Square do not."""
    names = ["apgd-ce", "fab-t", "square"]
    peer = AutoAttack(toy.net, eps=eps, seed=0, version="custom", attacks=names, device="cpu")
    peer.apgd.n_restarts = peer.fab.n_restarts = 1
    peer.fab.n_target_classes = toy.num_classes - 1
    peer.square.n_queries = queries
    candidates: Tensor = peer.run_standard_evaluation(toy.images, toy.labels)[0]
    return candidates


def art_counted(make: Any, toy: Any, **params: Any) -> tuple[Tensor, int]:
    """As :func:`art_with`, and how many images the network was asked about."""
    net = Counted(toy.net).eval()
    model = of_art(net, toy.num_classes)
    wanted = np.eye(toy.num_classes)[toy.labels.numpy()]
    found = torch.from_numpy(make(model, **params).generate(toy.images.numpy(), wanted)).float()
    return found, model.model.images
