"""What the adaptive view shows of a defense's inside: features, a detector's score, and reference images."""

import pytest
import torch
from torch import nn

from benchmark.access import References, adaptive, white_box
from benchmark.defense import Defense, Stage
from benchmark.defense.stages import BinomialVote, SaltAndPepper
from benchmark.errors import BenchError
from benchmark.randomness import Randomness

ROWS = torch.arange(4)


class Rounded(Stage):
    differentiable = False

    def apply_true(self, images, draw):
        return (images * 7).round() / 7


class Detecting(Defense):
    """Scores an image by its mean brightness after the stages."""

    def adaptive_score(self, images, draw, copies, backward="declared"):
        rows = self._through_stages(images, draw, copies if self.stochastic else 1, backward)
        return rows.mean(dim=(1, 2, 3)).reshape(len(images), -1).transpose(0, 1)


def make_net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten()),
            *(nn.Linear(5 * 36, 8), nn.Tanh(), nn.Linear(8, 3)),
        ).requires_grad_(False)


def some_images(count=4, seed=1):
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def streams(count=4):
    return Randomness(range(count))


def references(count=12):
    return References(some_images(count, seed=5), torch.arange(count) % 3)


def first_value(features, logits):
    return next(iter(features.values())).flatten(1)[:, 0]


def test_without_a_declaration_the_features_are_the_input_of_the_last_linear_layer():
    net, images = make_net(), some_images()
    features, logits = adaptive(Defense(net, 3), streams(), 1).features(images, ROWS)
    torch.testing.assert_close(features, {"penultimate": net[:5](images)})
    torch.testing.assert_close(logits, net(images))


def test_declared_layers_give_their_outputs_before_any_later_layer_works_on_them_in_place():
    net, images = make_net(), some_images()
    features, _ = adaptive(Defense(net, 3, feature_layers=("0", "4")), streams(), 1).features(images, ROWS)
    torch.testing.assert_close(features, {"0": net[0](images), "4": net[:5](images)})
    assert float(features["0"].min()) < 0


def test_value_and_gradient_pass_the_stages_and_any_layers_may_be_asked_for():
    defense, images = Defense(make_net(), 3, [Rounded()]), some_images()
    look = adaptive(defense, streams(), 1).evaluate_features(images, first_value, ROWS, ["0"])
    rounded = Rounded()(images, streams())
    leaf = rounded.clone().requires_grad_()
    value = defense.classifier[0](leaf).flatten(1)[:, 0]
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(look.loss, value.detach())
    torch.testing.assert_close(look.gradient, gradient)
    torch.testing.assert_close(look.logits, defense.classifier(rounded))


def test_an_objective_on_logits_alone_is_that_of_evaluate():
    images = some_images()
    for stages in ([], [SaltAndPepper(0.3)]):
        defense = Defense(make_net(), 3, stages)
        plain = adaptive(defense, streams(), 3).evaluate(images, lambda logits: logits[:, 1], ROWS)
        looked = adaptive(defense, streams(), 3).evaluate_features(images, lambda _, logits: logits[:, 1], ROWS)
        for mine, theirs in zip(vars(looked).values(), vars(plain).values(), strict=True):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("vote", [None, BinomialVote(4)])
def test_a_random_defense_shows_the_features_of_each_draw_and_their_gradients_are_averaged(vote):
    defense, images, seen = Defense(make_net(), 3, [SaltAndPepper(0.4)], vote), some_images(), []

    def objective(features, logits):
        seen.append(features["penultimate"].detach())
        return features["penultimate"].sum(dim=1)

    look = adaptive(defense, streams(), 5).evaluate_features(images, objective, ROWS)
    assert len(seen) == 5
    assert not torch.equal(seen[0], seen[1])
    torch.testing.assert_close(look.loss, torch.stack([part.sum(dim=1) for part in seen]).mean(dim=0))


def test_looks_at_features_cost_what_other_looks_cost():
    view = adaptive(Defense(make_net(), 3, [SaltAndPepper(0.4)]), streams(), 5, references=references())
    view.evaluate_features(some_images(), first_value, ROWS)
    view.features(some_images()[:2], ROWS[:2])
    view.gaussians()
    assert view.queries.tolist() == [10, 10, 5, 5]
    assert view.gradients.tolist() == [5] * 4


def test_no_hook_stays_behind_even_after_an_error():
    defense = Defense(make_net(), 3)
    view = adaptive(defense, streams(), 1)
    view.features(some_images(), ROWS)
    with pytest.raises(RuntimeError):
        view.features(torch.rand(4, 2, 6, 6), ROWS)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in defense.classifier.modules())


@pytest.mark.parametrize("layers", [("9",), ("penultimat",)])
def test_an_unknown_layer_is_refused_with_the_mend(layers):
    with pytest.raises(BenchError, match="no feature layer"):
        Defense(make_net(), 3, feature_layers=layers)
    with pytest.raises(BenchError, match="no feature layer"):
        adaptive(Defense(make_net(), 3), streams(), 1).features(some_images(), ROWS, layers)


def test_the_penultimate_features_of_a_convolutional_head_are_its_input():
    net = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 3, 4), nn.Flatten())
    features, _ = adaptive(Defense(net, 3), streams(), 1).features(some_images(), ROWS)
    assert features["penultimate"].shape[1:] == (5, 4, 4)


@pytest.mark.parametrize("answers_both", [False, True], ids=["never run", "run in vain"])
def test_a_head_that_the_logits_do_not_depend_on_is_passed_over(answers_both):
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.aux = nn.Linear(36, 7), nn.Linear(7, 3), nn.Linear(36, 3)

        def forward(self, images):
            logits = self.head(self.body(images.flatten(1)))
            if answers_both:
                self.aux(images.flatten(1))
            return logits

    features, _ = adaptive(Defense(TwoHeads(), 3), streams(), 1).features(some_images(), ROWS)
    assert features["penultimate"].shape[1:] == (7,)


def test_features_of_a_network_that_cannot_be_looked_into_are_its_logits():
    net = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))
    features, logits = adaptive(Defense(net, 3), streams(), 1).features(some_images(), ROWS)
    assert torch.equal(features["penultimate"], logits)


def test_a_layer_that_gives_no_tensor_is_refused():
    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.head = Pair(), nn.Linear(36, 3)

        def forward(self, images):
            return self.head(self.pair(images)[0].flatten(1))

    view = adaptive(Defense(Net(), 3, feature_layers=("pair",)), streams(), 1)
    with pytest.raises(BenchError, match="tuple"):
        view.features(some_images(), ROWS)


def test_a_defense_says_whether_it_has_a_detector():
    assert not Defense(make_net(), 3).detects
    assert Detecting(make_net(), 3).detects


def test_only_a_defense_with_a_detector_has_a_score_to_attack():
    with pytest.raises(BenchError, match="only one with a detector"):
        adaptive(Defense(make_net(), 3), streams(), 1).evaluate_score(some_images(), lambda score, _: score, ROWS)


@pytest.mark.parametrize(("stages", "samples"), [([Rounded()], 1), ([SaltAndPepper(0.2)], 4)])
def test_the_score_has_value_and_gradient_and_costs_a_pass_of_its_own(stages, samples):
    view = adaptive(Detecting(make_net(), 3, stages), streams(), 4)
    look = view.evaluate_score(some_images(), lambda score, logits: score + 0 * logits.sum(dim=1), ROWS)
    assert look.loss.shape == (4,)
    expected = torch.full((4, 1, 6, 6), 1 / 36) if samples == 1 else look.gradient.clamp(0, 1 / 36 + 1e-6)
    torch.testing.assert_close(look.gradient, expected)
    assert view.queries.tolist() == view.gradients.tolist() == [2 * samples] * 4


def test_score_and_logits_belong_to_the_same_draw():
    """Rows of bright noise: the score of a draw is the brightness that its logits saw."""

    class Mean(nn.Module):
        def forward(self, images):
            mean = images.mean(dim=(1, 2, 3))
            return torch.stack([mean, 0 * mean, 0 * mean], dim=1)

    view = adaptive(Detecting(Mean(), 3, [SaltAndPepper(0.5)]), streams(), 6)
    look = view.evaluate_score(some_images(), lambda score, logits: (score - logits[:, 0]).abs(), ROWS)
    torch.testing.assert_close(look.loss, torch.zeros(4), atol=1e-6, rtol=0)


class Shifted(Stage):
    """Makes the whole image brighter or darker, another way at each draw; the gradient passes as it is."""

    stochastic = True

    def apply_true(self, images, draw):
        return images + draw.uniform((1, 1, 1), -0.5, 0.5)


class Noting(Detecting):
    """Keeps the scores that it gave last, (S, N), with the class: a look takes back what it changed in a defense."""

    scores: torch.Tensor

    def adaptive_score(self, images, draw, copies, backward="declared"):
        scores = super().adaptive_score(images, draw, copies, backward)
        Noting.scores = scores.detach()
        return scores


def test_an_objective_on_a_random_detectors_score_is_averaged_over_its_draws_and_so_is_its_gradient():
    """The objective is bent: its mean over the draws is not its value at the mean score, nor at any one."""
    defense = Noting(make_net(), 3, [Shifted()])
    look = adaptive(defense, streams(), eot_samples=6).evaluate_score(some_images(), lambda score, _: score**3, ROWS)
    scores = Noting.scores
    assert scores.shape == (6, 4)
    torch.testing.assert_close(look.loss, (scores**3).mean(dim=0))
    slope = (3 * scores**2).mean(dim=0) / 36
    torch.testing.assert_close(look.gradient, slope[:, None, None, None].expand(4, 1, 6, 6))
    assert float((look.loss - scores.mean(dim=0) ** 3).abs().min()) > 0.01


def test_every_draw_of_the_score_counts_beside_the_one_answer_of_a_vote():
    defense = Noting(make_net(), 3, [Shifted()], BinomialVote(16, alpha=0.2))
    view = adaptive(defense, streams(), eot_samples=6)
    look = view.evaluate_score(some_images(), lambda score, logits: score**3 * logits[:, 0], ROWS)
    assert Noting.scores.shape == (6, 4)
    torch.testing.assert_close(look.loss, (Noting.scores**3).mean(dim=0) * look.logits[:, 0])


@pytest.mark.parametrize("rank", [0, 2, 9])
def test_references_are_the_nearest_images_of_another_class_for_each_image_alone(rank):
    given, images, labels = references(), some_images(), torch.tensor([0, 1, 2, 0])
    whole = given.of_another_class(images, labels, rank)
    assert torch.equal(whole, torch.cat([given.of_another_class(images[[i]], labels[[i]], rank) for i in range(4)]))
    for image, label, found in zip(images, labels, whole, strict=True):
        others = sorted(given.images[given.labels != label], key=lambda other: float((other - image).square().sum()))
        assert torch.equal(found, others[rank % 8])


def test_references_of_one_class_only_are_refused():
    with pytest.raises(BenchError, match="every class"):
        References(some_images(), torch.zeros(4, dtype=torch.int64)).of_another_class(some_images(), ROWS * 0)


def test_a_view_without_references_says_that_it_has_none():
    with pytest.raises(BenchError, match="references"):
        _ = adaptive(Defense(make_net(), 3), streams(), 1).references


def test_the_gaussians_are_the_classes_means_and_variances_and_maps_are_averaged_over_their_area():
    net, given = make_net(), references()
    found = adaptive(Defense(net, 3), streams(), 1, references=given).gaussians(["0", "4"])
    for layer, features in (("0", net[0](given.images).mean(dim=(2, 3))), ("4", net[:5](given.images))):
        for label in range(3):
            group = features[given.labels == label]
            torch.testing.assert_close(found[layer].mean[label], group.mean(dim=0))
            torch.testing.assert_close(found[layer].variance[label], group.var(dim=0))


def test_the_gaussians_are_computed_once_for_a_defense():
    defense, given = Defense(make_net(), 3), references()
    calls = []
    defense.classifier.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        adaptive(defense, streams(), 1, references=given).gaussians()
    looking_for_the_head = 1
    assert len(calls) == 1 + looking_for_the_head


def test_a_class_with_one_reference_takes_the_mean_spread_of_the_others():
    scarce = References(some_images(5), torch.tensor([0, 0, 1, 1, 2]))
    (found,) = adaptive(Defense(make_net(), 3), streams(), 1, references=scarce).gaussians().values()
    torch.testing.assert_close(found.variance[2], found.variance[:2].mean(dim=0))


def test_a_class_without_references_has_no_distribution():
    scarce = References(some_images(4), torch.tensor([0, 0, 1, 1]))
    (found,) = adaptive(Defense(make_net(), 3), streams(), 1, references=scarce).gaussians().values()
    assert found.mean.isnan().any(dim=1).tolist() == [False, False, True]


def test_the_white_box_view_opens_nothing_but_logits():
    assert not hasattr(white_box(Defense(make_net(), 3), streams()), "features")
