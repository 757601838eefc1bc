"""A defense as deployed, and as an adaptive attacker differentiates it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmark.access import adaptive, white_box
from benchmark.attacks.pgd import Pgd
from benchmark.defense import Decision, Defense, Stage
from benchmark.defense import defense as defense_module
from benchmark.defense.stages import BinomialVote, Jpeg, MedianFilter, SaltAndPepper
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification


class Shift(Stage):
    """Adds one random number to a whole image; everything about its expectation is known."""

    stochastic = True

    def apply_true(self, images, draw):
        return images + draw.uniform((1, 1, 1), -0.2, 0.2)


class Quantise(Stage):
    """Rounds to six levels: no gradient at all."""

    differentiable = False

    def apply_true(self, images, draw):
        return (images * 5).round() / 5


def make_net(seed=0, size=8, classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (size - 2) ** 2, classes))


def some_images(count=5, size=8, seed=1):
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


def voting(copies=16):
    return Defense(make_net(), 3, [SaltAndPepper(0.3), MedianFilter()], BinomialVote(copies, alpha=0.2))


def test_a_vote_without_a_stochastic_stage_is_refused():
    with pytest.raises(ValueError, match="without one all copies are equal"):
        Defense(make_net(), 3, [MedianFilter()], BinomialVote(5))


def test_only_the_bare_classifier_is_plain():
    assert Defense(make_net(), 3).plain
    assert not Defense(make_net(), 3, [MedianFilter()]).plain


@pytest.mark.parametrize("method", ["predict", "_decide", "_pass", "adaptive_logits", "adaptive_score"])
def test_a_subclass_that_changes_how_images_pass_is_never_plain(method):
    changed = type("Changed", (Defense,), {method: lambda self, *given: getattr(Defense, method)(self, *given)})
    assert not changed(make_net(), 3).plain
    assert type("Renamed", (Defense,), {"name": "another"})(make_net(), 3).plain


def test_it_is_stochastic_exactly_when_a_stage_is():
    assert not Defense(make_net(), 3, [Jpeg()]).stochastic
    assert Defense(make_net(), 3, [Jpeg(), SaltAndPepper(0.1)]).stochastic


def test_a_new_defense_is_in_eval_mode():
    assert not any(module.training for module in Defense(make_net().train(), 3).modules())


def test_prediction_passes_the_stages_in_order():
    images = some_images()
    net = make_net()
    decision = Defense(net, 3, [Quantise(), MedianFilter()]).predict(images, Randomness(range(5)))
    logits = net(MedianFilter()(Quantise()(images, None), None))
    torch.testing.assert_close(decision.probs, logits.softmax(dim=1))
    assert decision.label.tolist() == logits.argmax(dim=1).tolist()


@given(parts=st.lists(st.integers(1, 3), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_voting_defense_decides_each_image_alike_in_any_batch(parts):
    images = some_images(sum(parts))
    seeds = list(range(sum(parts)))
    together = voting().predict(images, Randomness(seeds))
    start, apart = 0, []
    for part in parts:
        apart.append(voting().predict(images[start : start + part], Randomness(seeds[start : start + part])))
        start += part
    joined = Decision.cat(apart)
    assert joined.label.tolist() == together.label.tolist()
    assert joined.probs.tolist() == together.probs.tolist()
    assert joined.score.tolist() == together.score.tolist()
    assert joined.copies.tolist() == together.copies.tolist()


@pytest.mark.parametrize("rows", [1, 16, 33, 4096])
def test_the_rows_that_one_pass_holds_change_no_decision(monkeypatch, rows):
    expected = voting().predict(some_images(), Randomness(range(5)))
    monkeypatch.setattr(defense_module, "ROWS_PER_PASS", rows)
    decision = voting().predict(some_images(), Randomness(range(5)))
    assert decision.probs.tolist() == expected.probs.tolist()


def test_the_same_seed_decides_the_same_and_another_draws_anew():
    first, again, other = (voting().predict(some_images(), Randomness([s] * 5)).probs.tolist() for s in (1, 1, 2))
    assert first == again
    assert first != other


class Restless(Stage):
    """Draws twice a copy, of two kinds: nothing but a stream of its own keeps a copy what it is."""

    stochastic = True

    def apply_true(self, images, draw):
        return images + draw.uniform((1, 1, 1), -0.2, 0.2) + 0.2 * draw.normal(tuple(images.shape[1:]))


class Ear(nn.Module):
    """Passes images on to a classifier and keeps them."""

    def __init__(self):
        super().__init__()
        self.heard = []
        self.net = make_net()

    def forward(self, images):
        self.heard.append(images)
        return self.net(images)


def heard(vote, images=1):
    """Every random copy that the classifier saw, and the decision."""
    defense = Defense(Ear(), 3, [Quantise(), Restless()], vote)
    decision = defense.predict(some_images(images), Randomness(range(images)))
    return torch.cat(defense.classifier.heard), decision


@pytest.mark.parametrize("sequential", [True, False])
def test_the_copies_of_a_vote_are_the_first_of_a_larger_full_vote(sequential):
    copies, decision = heard(BinomialVote(60, alpha=0.2, sequential=sequential))
    more, _ = heard(BinomialVote(150, alpha=0.2, sequential=False))
    assert len(copies) == int(decision.copies)
    torch.testing.assert_close(copies, more[: len(copies)], rtol=0, atol=0)


def test_all_copies_of_a_vote_differ():
    copies, _ = heard(BinomialVote(60, sequential=False), images=2)
    assert len(copies.flatten(1).unique(dim=0)) == 120


def test_settled_images_leave_and_the_others_go_on():
    copies, decision = heard(BinomialVote(200, alpha=0.01), images=5)
    assert len(copies) == int(decision.copies.sum())
    assert len(set(decision.copies.tolist())) > 1


@pytest.mark.parametrize("rows", [1, 7, 30])
def test_a_sequential_vote_is_alike_in_any_batch_and_pass(monkeypatch, rows):
    vote = BinomialVote(200, alpha=0.01)
    _, together = heard(vote, images=5)
    monkeypatch.setattr(defense_module, "ROWS_PER_PASS", rows)
    _, small = heard(vote, images=5)
    _, alone = heard(vote, images=2)
    for name in ("probs", "label", "score", "copies"):
        assert getattr(small, name).tolist() == getattr(together, name).tolist()
        assert getattr(alone, name).tolist() == getattr(together, name).tolist()[:2]


def test_only_a_vote_counts_copies():
    assert voting().predict(some_images(), Randomness(range(5))).copies.tolist() == [16] * 5
    assert Defense(make_net(), 3).predict(some_images(), Randomness(range(5))).copies is None


def test_no_images_give_an_empty_decision():
    decision = voting().predict(some_images(0), Randomness([]))
    assert decision.probs.shape == (0, 3)
    assert decision.label.shape == (0,)


def test_adaptive_logits_of_a_deterministic_defense_are_those_that_it_deploys():
    defense = Defense(make_net(), 3, [Quantise(), Jpeg()])
    images = some_images()
    (logits,) = defense.adaptive_logits(images, Randomness(range(5)), copies=7)
    deployed = defense.predict(images, Randomness(range(5)))
    torch.testing.assert_close(logits.softmax(dim=1), deployed.probs)


def test_adaptive_logits_of_a_vote_are_the_log_of_the_mean_softmax():
    defense = voting()
    plain = Defense(make_net(), 3, [SaltAndPepper(0.3), MedianFilter()])
    images = some_images()
    (soft,) = defense.adaptive_logits(images, Randomness(range(5)), copies=6)
    each = plain.adaptive_logits(images, Randomness(range(5)), copies=6)
    torch.testing.assert_close(soft.exp(), each.softmax(dim=2).mean(dim=0))


def test_the_eot_gradient_is_the_mean_of_the_gradients_of_its_draws():
    defense = Defense(make_net(), 3, [Shift()])
    images, labels = some_images(), torch.tensor([0, 1, 2, 0, 1])
    task = Classification(3)
    samples = 9
    view = adaptive(defense, Randomness(range(5)), eot_samples=samples)
    look = view.evaluate(images, lambda logits: task.cross_entropy(logits, labels), torch.arange(5))
    draw = adaptive(defense, Randomness(range(5)), samples)._next_draw(torch.arange(5)).repeated(samples)
    shifts = draw.fork("stage", 0).uniform((1, 1, 1), -0.2, 0.2).reshape(5, samples, 1, 1, 1)
    gradients = []
    for sample in range(samples):
        leaf = images.clone().requires_grad_()
        task.cross_entropy(defense.classifier(leaf + shifts[:, sample]), labels).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(look.gradient, torch.stack(gradients).mean(dim=0))


def robust_share(defense, view, images, labels):
    task = Classification(2)
    candidates = Pgd(steps=20)(view, task.goal(labels), images, 16, Randomness(range(len(images))))
    return float(task.score(defense.predict(candidates, Randomness(range(len(images)))), labels).float().mean())


def bright_or_dark(count=24, size=8):
    """Images whose mean brightness is the class, a little above or below the middle."""
    labels = torch.arange(count) % 2
    noise = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(4)) * 0.3 - 0.15
    return (0.5 + 0.04 * (2 * labels[:, None, None, None] - 1) + noise).clamp(0, 1), labels


class Brightness(nn.Module):
    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3)) - 0.5
        return 40 * torch.stack([-mean, mean], dim=1)


def test_bpda_fells_a_quantising_defense_whose_own_gradient_is_nothing():
    images, labels = bright_or_dark()
    defense = Defense(Brightness(), 2, [Quantise()])
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(defense.classifier(Quantise()(leaf, None)).sum(), leaf)
    assert float(gradient.abs().max()) == 0
    draw = Randomness(range(len(images)))
    assert float((defense.predict(images, draw).label == labels).float().mean()) > 0.9
    assert robust_share(defense, adaptive(defense, draw, 1), images, labels) < 0.2


class Baited(nn.Module):
    """Brightness, and a loud answer to what lies between the six levels, of which rounding leaves nothing."""

    def forward(self, images):
        value = images.mean(dim=(1, 2, 3)) - 0.5
        residue = images * 5 - (images * 5).round()
        value = value - 4 * value.sign() * (residue**2).mean(dim=(1, 2, 3))
        return 40 * torch.stack([-value, value], dim=1)


def test_a_quantising_defense_stands_up_to_the_transfer_from_its_classifier_and_not_to_the_adaptive_attack():
    images, labels = bright_or_dark()
    defense, draw = Defense(Baited(), 2, [Quantise()]), Randomness(range(len(images)))
    assert robust_share(Defense(Baited(), 2), white_box(defense, draw), images, labels) == 0
    assert robust_share(defense, white_box(defense, draw), images, labels) > 0.8
    assert robust_share(defense, adaptive(defense, draw, 1), images, labels) < 0.2


def test_noise_and_median_remove_a_sparse_perturbation_that_fools_the_bare_classifier():
    """MedRDF's claim, on a classifier that one pixel can fool."""

    class Loud(nn.Module):
        def forward(self, images):
            value = (images - 0.5).mean(dim=(1, 2, 3)) + 2 * (images.amax(dim=(1, 2, 3)) - 0.55).relu()
            return 40 * torch.stack([-value, value], dim=1)

    images = torch.full((6, 1, 12, 12), 0.4)
    images[:, :, 5, 5] = 1.0
    labels = torch.zeros(6, dtype=torch.int64)
    draw = Randomness(range(6))
    assert (Defense(Loud(), 2).predict(images, draw).label != labels).all()
    defended = Defense(Loud(), 2, [SaltAndPepper(0.02), MedianFilter()], BinomialVote(40))
    assert (defended.predict(images, draw).label == labels).all()


def test_medrdf_abstains_where_the_copies_are_torn():
    class Coin(nn.Module):
        """Answers by whether more pixels are white or black: a coin toss on a grey image."""

        def forward(self, images):
            value = (images - 0.5).sum(dim=(1, 2, 3))
            return torch.stack([-value, value], dim=1)

    torn = Defense(Coin(), 2, [SaltAndPepper(0.3)], BinomialVote(100, alpha=0.001))
    decision = torn.predict(torch.full((4, 1, 15, 15), 0.5), Randomness(range(4)))
    assert decision.abstained.all()
    sure = torn.predict(torch.full((4, 1, 15, 15), 0.8), Randomness(range(4)))
    assert sure.label.tolist() == [1] * 4
