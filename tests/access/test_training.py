"""The view of an attacker who works on training images before the attack."""

import pytest
import torch
from torch import nn

from benchmark.access import gray_box
from benchmark.defense import Defense, Stage
from benchmark.errors import BenchError


class Darken(Stage):
    """A stage that changes every logit."""

    def apply_true(self, images, draw):
        return images * 0.5


@pytest.fixture
def defense() -> Defense:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Defense(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), 3, [Darken()])


IMAGES = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1])


def test_it_gives_training_images_and_the_undefended_classifiers_logits(defense):
    view = gray_box(defense, IMAGES, LABELS)
    assert view.images is IMAGES
    assert view.labels is LABELS
    assert view.num_classes == 3
    assert torch.equal(view.differentiable(IMAGES), defense.classifier(IMAGES))


def test_gradients_flow_to_what_made_the_images(defense):
    view = gray_box(defense, IMAGES, LABELS)
    delta = torch.zeros(1, 1, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(view.differentiable(IMAGES + delta)[:, 0].sum(), delta)
    torch.testing.assert_close(gradient, 5 * defense.classifier[1].weight[0].reshape(1, 1, 6, 6).detach())
    assert all(parameter.grad is None for parameter in defense.parameters())


def test_passes_are_counted_over_all_images_and_backward_ones_only_when_taken(defense):
    view = gray_box(defense, IMAGES, LABELS)
    with torch.no_grad():
        view.differentiable(IMAGES)
    leaf = IMAGES[:2].clone().requires_grad_()
    logits = view.differentiable(leaf)
    assert (view.queries, view.gradients) == (7, 0)
    torch.autograd.grad(logits.sum(), leaf)
    assert (view.queries, view.gradients) == (7, 2)


@pytest.mark.parametrize(("images", "labels"), [(0, 0), (3, 2)])
def test_no_images_or_unequal_labels_are_refused(defense, images, labels):
    with pytest.raises(BenchError, match=f"given {images} training images and {labels} labels"):
        gray_box(defense, IMAGES[:images], LABELS[:labels])
