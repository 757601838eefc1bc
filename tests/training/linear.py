"""A linear network whose answers are computed by hand, and the tables that each method needs."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.randomness import Randomness
from benchmark.training.batches import Batch
from benchmark.training.methods import Method, MethodContext, build_method

from .conftest import make_card, make_recipe

ADVERSARY = {"eps_255": 8, "alpha_255": 4, "steps": 3}

WEIGHTS = np.array([[0.5, -1.0, 2.0, 0.25], [-0.75, 0.5, 1.0, -2.0], [1.5, 1.0, -0.5, 0.0]])
"""(K = 3 classes, 4 pixels)."""

BIAS = np.array([0.1, -0.2, 0.3])

CLEAN = np.array([[0.2, 0.4, 0.6, 0.8], [0.5, 0.15, 0.85, 0.3], [0.3, 0.6, 0.5, 0.2]])
"""Three images of 2 x 2 pixels, flattened; none so near 0 or 1 that 3.5 steps of 8/255 leave [0, 1]."""

LABELS = np.array([0, 1, 2])


class Linear(nn.Module):
    """z = W x + b."""

    def __init__(self, weights: np.ndarray = WEIGHTS, bias: np.ndarray = BIAS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weights, dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def images_of(flat: np.ndarray) -> Tensor:
    return torch.tensor(flat, dtype=torch.float32).reshape(-1, 1, 2, 2)


def logits_of(flat: np.ndarray) -> np.ndarray:
    return flat @ WEIGHTS.T + BIAS


def probabilities_of(flat: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    powers = np.exp(logits_of(flat) / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def true_of(probabilities: np.ndarray) -> np.ndarray:
    return probabilities[np.arange(len(LABELS)), LABELS]


def cross_entropy(flat: np.ndarray) -> float:
    return float(-np.log(true_of(probabilities_of(flat))).mean())


def kl(clean: np.ndarray, attacked: np.ndarray) -> np.ndarray:
    """KL(p(clean) || p(attacked)) per image, from probabilities."""
    return (clean * np.log(clean / attacked)).sum(axis=1)


def signs_up(flat: np.ndarray) -> np.ndarray:
    """Sign of the gradient of CE(f(x), y) with respect to x: W^T (p - onehot)."""
    error = probabilities_of(flat) - np.eye(3)[LABELS]
    return np.sign(error @ WEIGHTS)


def make_batch(epoch: int = 1, seed: int = 0, flat: np.ndarray = CLEAN) -> Batch:
    labels = torch.tensor(LABELS[: len(flat)])
    return Batch(images_of(flat), labels, torch.arange(len(flat)), epoch, Randomness(range(len(flat))), seed)


def make_method(name: str, beside: Path = Path(), **tables: object) -> Method:
    recipe = make_recipe(method=name, **tables)
    return build_method(MethodContext(recipe, make_card(3), beside, torch.device("cpu")))
