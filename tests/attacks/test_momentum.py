"""Momentum, diverse inputs, smoothed gradients, the stabilised objective: each piece alone, then beside the peers."""

import pytest
import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn

from benchmark.access import white_box
from benchmark.attacks import build
from benchmark.attacks.momentum import default_kernel, resize_and_pad, smooth
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .peers import leaving_no_trace, torchattacks_tim

EPS_255 = 32.0
EPS = EPS_255 / 255


def accuracy(toy, candidates: Tensor) -> float:
    return (toy.net.eval()(candidates).argmax(dim=1) == toy.labels).float().mean().item()


def ours(run, toy, method, **params) -> float:
    defense = Defense(toy.net, toy.num_classes)
    return run(method, params, defense, toy.images, toy.labels, EPS_255).robust.float().mean().item()


def colours(seed: int = 0) -> Tensor:
    return torch.rand(4, 3, 9, 12, generator=torch.Generator().manual_seed(seed))


def test_a_single_step_without_a_random_start_is_fgsm_for_bim_and_mim(run, problem):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    single = [
        run(name, params, defense, toy.images[:20], toy.labels[:20], EPS_255).candidates
        for name, params in (("fgsm", {}), ("bim", {"steps": 1}), ("mim", {"steps": 1}))
    ]
    assert torch.equal(single[0], single[1])
    assert torch.equal(single[0], single[2])


def test_momentum_goes_on_where_the_gradient_turns_round():
    """The loss falls off beyond .55: plain steps swing about that ridge, the sum of gradients carries on over it."""

    class Ridge(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            height = -(images.mean(dim=(1, 2, 3)) - 0.55).abs()
            return torch.stack([torch.zeros_like(height), 5 * height], dim=1)

    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    seen: dict[str, list[float]] = {}
    for method in ("bim", "mim"):
        view = white_box(Defense(Ridge(), 2), Randomness([1]))
        look = view.evaluate
        places = seen.setdefault(method, [])

        def noting(iterate, objective, rows, look=look, places=places):
            places.append(iterate.mean().item())
            return look(iterate, objective, rows)

        view.evaluate = noting
        params = {"steps": 8, "alpha_255": 4.0}
        build(method, params)(view, Classification(2).goal(labels), images, 30.0, Randomness([1]))
    assert max(seen["bim"]) < 0.55 + 4.01 / 255
    assert max(seen["mim"]) > 0.55 + 8 / 255


def test_smoothing_is_a_gaussian_filter_of_every_channel():
    images = colours()
    place = torch.arange(5.0) - 2
    bell = torch.exp(-place.square() / 2 / 0.8**2)
    kernel = (bell[:, None] * bell / bell.sum() ** 2).expand(3, 1, 5, 5)
    assert torch.allclose(smooth(images, 5, 0.8), F.conv2d(images, kernel, padding=2, groups=3), atol=1e-6)


def test_smoothing_with_the_edge_repeated_leaves_a_uniform_image_alone():
    images = torch.full((1, 2, 6, 6), 0.4)
    assert torch.allclose(smooth(images, 5, 2.0, border="edge"), images, atol=1e-6)
    assert smooth(images, 5, 2.0)[0, 0, 0, 0] < 0.3


@pytest.mark.parametrize(
    ("size", "side"), [((8, 8), 3), ((28, 28), 7), ((64, 64), 15), ((64, 40), 9), ((224, 224), 15)]
)
def test_the_kernel_shrinks_with_the_image_and_stays_odd(size, side):
    assert default_kernel(*size) == side


def test_a_diverse_copy_is_a_smaller_one_on_black_at_its_own_random_place():
    images = colours() + 0.5
    copies = resize_and_pad(
        images, 0.5, torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.99, 0.99], [0.6, 0.5, 0.5], [0.99, 0, 0]])
    )
    filled = (copies > 0).all(dim=1)
    rows, columns = filled.any(dim=2), filled.any(dim=1)
    assert rows.sum(dim=1).tolist() == [4, 4, 7, 8]
    assert columns.sum(dim=1).tolist() == [5, 5, 9, 10]
    assert torch.equal(filled, rows[:, :, None] & columns[:, None, :])
    assert filled[0, 0, 0]
    assert filled[1, -1, -1]
    assert torch.equal(copies[0, :, 0, 0], images[0, :, 0, 0])
    assert set(copies[2][copies[2] > 0].tolist()) <= set(images[2].flatten().tolist())


def test_a_diverse_copy_hands_gradients_back_to_the_pixels_it_shows():
    images = colours().requires_grad_(True)
    copies = resize_and_pad(images, 0.5, torch.full((4, 3), 0.3))
    weights = colours(1)
    (gradient,) = torch.autograd.grad((copies * weights).sum(), images)
    assert torch.allclose((gradient * images).sum(), (copies * weights).sum(), rtol=1e-5)


def test_without_diversity_and_smoothing_dim_and_tim_are_mim(run, problem):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    found = [
        run(name, params, defense, toy.images[:20], toy.labels[:20], EPS_255).candidates
        for name, params in (("mim", {}), ("dim", {"probability": 0.0}), ("tim", {"kernel": 1}))
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_each_image_draws_its_own_diversity(run, problem):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    same = toy.images[:1].expand(8, -1, -1, -1).contiguous()
    found = run("dim", {}, defense, same, toy.labels[:1].expand(8).contiguous(), EPS_255).candidates
    assert len({tuple(candidate.flatten().tolist()) for candidate in found}) > 3


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize(
    ("method", "peer"),
    [
        ("bim", lambda net: torchattacks.BIM(net, eps=EPS, alpha=EPS / 7, steps=7)),
        ("mim", lambda net: torchattacks.MIFGSM(net, eps=EPS, alpha=EPS / 10, steps=10, decay=1.0)),
        ("dim", lambda net: torchattacks.DIFGSM(net, eps=EPS, alpha=EPS / 10, steps=10, decay=1.0)),
    ],
)
def test_no_weaker_than_torchattacks(run, problem, num_classes, method, peer):
    toy = problem(num_classes)
    with leaving_no_trace():
        theirs = accuracy(toy, peer(toy.net.eval())(toy.images, toy.labels))
    assert ours(run, toy, method) <= theirs + 0.01


def test_tim_on_one_channel_is_no_weaker_than_torchattacks_on_the_same_channel_three_times(run, problem):
    toy = problem(10)
    with pytest.raises(RuntimeError, match="channels"):
        torchattacks.TIFGSM(toy.net, diversity_prob=0.0)(toy.images[:2], toy.labels[:2])
    theirs = accuracy(toy, torchattacks_tim(toy, EPS))
    assert ours(run, toy, "tim") <= theirs + 0.01


def test_stability_pulls_the_prediction_toward_that_of_the_smoothed_image(run, problem):
    """The objective's sign: a heavier second term leaves the two predictions more alike, none at all least."""
    toy = problem(10, False)
    defense = Defense(toy.net, 10)
    apart = []
    for stability in (0.0, 1.0, 8.0):
        found = run("sma", {"stability": stability}, defense, toy.images, toy.labels, 12.0).candidates
        mine, smoothed = (toy.net(x).log_softmax(dim=1) for x in (found, smooth(found, 3, 1.0, border="edge")))
        apart.append(F.kl_div(mine, smoothed, log_target=True, reduction="batchmean").item())
    assert apart[0] > apart[1] > apart[2]


def test_without_the_second_term_sma_is_pgd_from_the_image_itself(run, problem):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    pair = [
        run(name, params, defense, toy.images[:20], toy.labels[:20], EPS_255).candidates
        for name, params in (("sma", {"stability": 0.0}), ("pgd", {"random_start": False}))
    ]
    assert torch.equal(*pair)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_stability_costs_sma_at_most_a_tenth_of_the_images_against_pgd_from_the_image_itself(run, problem, num_classes):
    """No library has it. Two classes: nothing; ten: 5 to 7.5 points on four networks."""
    toy = problem(num_classes)
    assert ours(run, toy, "sma") <= ours(run, toy, "pgd", random_start=False) + 0.1


class Leaning(nn.Module):
    """The logit's slope on each pixel is a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = torch.randn(1, 3, 9, 12, generator=torch.Generator().manual_seed(7))

    def forward(self, images: Tensor) -> Tensor:
        lean = (images * self.slopes).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(lean), lean], dim=1)


def test_tim_steps_along_the_smoothed_gradient_and_mim_along_the_bare_one(run):
    images, labels = colours() / 2 + 0.25, torch.zeros(4, dtype=torch.int64)
    slopes = Leaning().slopes
    for method, params, direction in (("tim", {"kernel": 7}, smooth(slopes, 7)), ("mim", {}, slopes)):
        found = run(method, {"steps": 1, **params}, Defense(Leaning(), 2), images, labels, EPS_255)
        torch.testing.assert_close(found.candidates, images + EPS * direction.sign())
    assert (smooth(slopes, 7).sign() != slopes.sign()).float().mean() > 0.1


def test_dim_steps_along_the_gradient_of_its_copy_brought_back_to_the_pixels_that_the_copy_shows():
    """No two pixels of an iterate are equal here: a value in the copy tells which pixel it was sampled from."""
    images, labels = colours() / 2 + 0.25, torch.zeros(4, dtype=torch.int64)
    view = white_box(Defense(Leaning(), 2), Randomness(range(4)))
    looks: list[tuple[Tensor, Tensor]] = []
    ends: list[Tensor] = []
    evaluate, logits = view.evaluate, view.logits

    def noting(iterate, objective, rows):
        look = evaluate(iterate, objective, rows)
        looks.append((iterate, look.gradient))
        return look

    def noting_the_end(iterate, rows):
        ends.append(iterate)
        return logits(iterate, rows)

    view.evaluate, view.logits = noting, noting_the_end
    params = {"steps": 2, "alpha_255": 8.0, "probability": 1.0, "decay": 0.0}
    build("dim", params)(view, Classification(2).goal(labels), images, EPS_255, Randomness(range(4)))
    first = images + 8 / 255 * Leaning().slopes.sign()
    copies, gradient = looks[1]
    shows = (copies.flatten(2)[:, :, :, None] - first.flatten(2)[:, :, None, :]).abs() < 1e-6
    assert (copies == 0).any(dim=(1, 2, 3)).all()
    assert torch.equal(shows.any(dim=3), copies.flatten(2) > 0)
    back = (shows.float() * gradient.flatten(2)[:, :, :, None]).sum(dim=2).reshape(images.shape)
    torch.testing.assert_close(ends[0], first + 8 / 255 * back.sign())
    assert (back.sign() != gradient.sign()).float().mean() > 0.3


class AfraidOfBlack(nn.Module):
    """Sees class 1 in every image with a black pixel, otherwise class 0, a little less surely the brighter it is."""

    def forward(self, images: Tensor) -> Tensor:
        lead = images.mean(dim=(1, 2, 3)) + 10 * (images < 0.1).flatten(1).any(dim=1) - 5
        return torch.stack([torch.zeros_like(lead), lead], dim=1)


def test_a_copy_that_fools_the_network_is_no_success_of_the_iterate(run):
    """Every copy has a black border here. The iterate of highest loss is kept: the last, and no earlier one."""
    images, labels = torch.full((4, 1, 10, 10), 0.5), torch.zeros(4, dtype=torch.int64)
    found = run("dim", {"steps": 5, "probability": 1.0}, Defense(AfraidOfBlack(), 2), images, labels, EPS_255)
    torch.testing.assert_close(found.candidates, images + EPS)
