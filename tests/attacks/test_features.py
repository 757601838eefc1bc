"""Attacks on features and detectors: Fea, HFC, WB and WB_d."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmark.access import References, adaptive, white_box
from benchmark.access.references import Gaussians
from benchmark.access.views import Evaluation
from benchmark.attacks import build
from benchmark.attacks.detectors import DetectorAware, DetectorAwareDecayed
from benchmark.attacks.features import Fea, Hfc, log_likelihood, relative_distance
from benchmark.attacks.follow import follow
from benchmark.defense import Defense, Stage
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .problem import TwoModes

EPS_255 = 8.0
EPS = EPS_255 / 255
INSIDE = [("fea", {"steps": 8, "guides": 2}), ("hfc", {"steps": 8}), ("wb", {"steps": 8}), ("wb-d", {"steps": 60})]


class Bright(Defense):
    """Accepts bright images: the score is ten times the mean brightness, and more than 6 is accepted."""

    def adaptive_score(self, images, draw, copies, backward="declared"):
        copies = copies if self.stochastic else 1
        rows = self._through_stages(images, draw, copies, backward)
        return 10 * rows.mean(dim=(1, 2, 3)).reshape(len(images), copies).transpose(0, 1)


class Jitter(Stage):
    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.02)


class RowByRow(nn.Module):
    """A network whose floating-point sums run along one image alone, so that batching changes no bit."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(6, 36, generator=generator) / 2, requires_grad=False)
        self.second = nn.Parameter(torch.randn(3, 6, generator=generator), requires_grad=False)
        self.hidden = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.hidden(((images.flatten(1) - 0.5)[:, None, :] * self.first).sum(dim=2).tanh())
        return (hidden[:, None, :] * self.second).sum(dim=2)


def linear(num_classes: int = 2, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(36, num_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def some_images(count: int = 12, seed: int = 5, low: float = 0.2, high: float = 0.8) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def references(count: int = 12, num_classes: int = 3, seed: int = 6) -> References:
    return References(some_images(count, seed, 0, 1), torch.arange(count) % num_classes)


def attacked(method, params, defense, images, labels, *, given=None, places=None, eot=3, eps_255=EPS_255):
    places = list(range(len(images))) if places is None else places
    draw = Randomness([1000 + place for place in places])
    view = adaptive(defense, draw.fork("view"), eot, references=given or references(12, defense.num_classes))
    task = Classification(defense.num_classes)
    found = build(method, params)(view, task.goal(labels[places]), images[places], eps_255, draw.fork("attack"))
    return found, view


@pytest.fixture(scope="module")
def toy(problem):
    """Sixty images of a natural network, with a detector on its features and training images to imitate."""
    trained = problem(3, False)
    return replace(trained, images=trained.images[:60], labels=trained.labels[:60])


@pytest.fixture(scope="module")
def given():
    from sklearn.datasets import load_digits

    source = load_digits()
    images = torch.tensor(source.images[:120], dtype=torch.float32)[:, None] / 16
    return References(images, torch.tensor(source.target[:120] % 3, dtype=torch.int64))


def test_fea_on_identical_features_and_pixels_finds_the_nearest_point_of_the_ball_to_the_guide():
    defense, images, labels = Defense(linear(), 2), some_images(), torch.zeros(12, dtype=torch.int64)
    given = References(some_images(1, 9, 0, 1), torch.ones(1, dtype=torch.int64))
    found, _ = attacked("fea", {}, defense, images, labels, given=given)
    nearest = torch.minimum(torch.maximum(given.images, images - EPS), images + EPS)
    assert float((found - nearest).abs().max()) <= EPS / 10 + 1e-6


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (-0.3, 1.3)], ids=["interior", "box binds"])
def test_hfc_without_its_constraint_succeeds_exactly_when_the_budget_reaches_the_boundary(low, high):
    defense, images = Defense(linear(), 2), some_images(200, 7, low, high).clamp(0, 1)
    labels = defense.classifier(images).argmax(dim=1)
    params = {"weight": 0.0, "kappa": 1e6, "steps": 30}
    found, _ = attacked("hfc", params, defense, images, labels)
    weight = defense.classifier[1].weight
    direction = (weight[1 - labels] - weight[labels]).reshape(images.shape)
    corner = (images + EPS * direction.sign()).clamp(0, 1)
    reached = defense.classifier(corner).argmax(dim=1) != labels
    assert 0.1 < reached.float().mean() < 0.9
    assert torch.equal(defense.classifier(found).argmax(dim=1) != labels, reached)


@pytest.mark.parametrize("method", ["wb", "wb-d"])
def test_wb_reaches_the_best_sum_of_score_and_margin_in_closed_form(method):
    defense, images, task = Bright(linear(), 2), some_images(40), Classification(2)
    labels = defense.classifier(images).argmax(dim=1)
    found, _ = attacked(method, {"kappa": 1e6}, defense, images, labels)
    weight = defense.classifier[1].weight
    direction = (weight[1 - labels] - weight[labels] + 10 / 36).reshape(images.shape)
    corner = (images + EPS * direction.sign()).clamp(0, 1)

    def total(at: Tensor) -> Tensor:
        return 10 * at.mean(dim=(1, 2, 3)) + task.margin(defense.classifier(at), labels)

    once_fooled = task.fooled(defense.classifier(corner), labels)
    torch.testing.assert_close(total(found), total(corner), atol=1e-4, rtol=1e-4)
    assert torch.equal(task.fooled(defense.classifier(found), labels), once_fooled)


def test_wb_is_wrong_and_accepted_where_an_attack_that_knows_no_detector_is_rejected(toy):
    defense = TwoModes(toy.net, 3).learn(toy.images, toy.labels)
    scores = {}
    for method, params in (("pgd", {}), ("wb", {}), ("wb-d", {})):
        found, _ = attacked(method, params, defense, toy.images, toy.labels, eps_255=48.0)
        assert float((defense.classifier(found).argmax(dim=1) != toy.labels).float().mean()) > 0.9
        scores[method] = float(defense.adaptive_score(found, Randomness([0] * 60), 1).mean())
    clean = float(defense.adaptive_score(toy.images, Randomness([0] * 60), 1).mean())
    assert scores["pgd"] < clean
    assert scores["wb"] > scores["pgd"] + (clean - scores["pgd"]) / 2
    assert scores["wb-d"] >= scores["wb"] - 0.05 * abs(clean)


def test_hfc_camouflages_what_a_plain_attack_shows(toy, given):
    """Under the target class's clean distribution its features are far likelier than PGD's."""
    defense = Defense(toy.net, 3, feature_layers=("2", "5"))
    likely = []
    for method, params in (("pgd", {}), ("hfc", {"weight": 0.0}), ("hfc", {}), ("hfc", {"weight": 5.0})):
        found, view = attacked(method, params, defense, toy.images, toy.labels, given=given, eps_255=48.0)
        features, logits = view.features(found, torch.arange(60))
        assert float((logits.argmax(dim=1) != toy.labels).float().mean()) > 0.9
        usual = view.gaussians()
        each = [log_likelihood(features[layer], usual[layer], logits.argmax(dim=1)) for layer in usual]
        likely.append(float(torch.stack(each).mean()))

    assert likely[3] > likely[2] > likely[1] > likely[0]
    assert likely[2] > 0.6 * likely[0]


def test_fea_comes_near_its_guides_features_and_changes_decisions(toy, given):
    defense = Defense(toy.net, 3)
    found, view = attacked("fea", {}, defense, toy.images, toy.labels, given=given, eps_255=48.0)
    guides = given.of_another_class(toy.images, toy.labels)
    rows = torch.arange(60)
    wanted, before, after = (view.features(x, rows)[0]["penultimate"] for x in (guides, toy.images, found))
    assert float((relative_distance(after, wanted) < relative_distance(before, wanted)).float().mean()) > 0.95
    assert float((defense.classifier(found).argmax(dim=1) != toy.labels).float().mean()) > 0.4


def test_further_guides_help_and_are_spent_on_standing_images_only(toy, given):
    one, spent = attacked("fea", {"steps": 20}, Defense(toy.net, 3), toy.images, toy.labels, given=given, eps_255=24.0)
    four, more = attacked(
        "fea", {"steps": 20, "guides": 4}, Defense(toy.net, 3), toy.images, toy.labels, given=given, eps_255=24.0
    )
    fooled = [toy.net(found).argmax(dim=1) != toy.labels for found in (one, four)]
    assert (fooled[1] | ~fooled[0]).all()
    assert fooled[1].sum() > fooled[0].sum()
    assert torch.equal(more.queries[fooled[0]], spent.queries[fooled[0]])
    assert (more.queries[~fooled[1]] == 4 * spent.queries[~fooled[1]]).all()


@pytest.mark.parametrize(
    ("method", "params", "queries", "gradients"),
    [
        ("fea", {"steps": 7}, 9, 8),
        ("hfc", {"steps": 7}, 9, 8),
        ("wb", {"steps": 7}, 16, 16),
        ("wb-d", {"steps": 60}, 122, 122),
    ],
)
def test_looks_are_counted_as_documented(method, params, queries, gradients):
    images, labels = some_images(4), torch.zeros(4, dtype=torch.int64)
    for stages, samples in (([], 1), ([Jitter()], 3)):
        _, view = attacked(method, params, Bright(linear(3), 3, stages), images, labels)
        assert view.queries.tolist() == [samples * queries] * 4
        assert view.gradients.tolist() == [samples * gradients] * 4


@pytest.mark.parametrize("stages", [[], [Jitter()]], ids=["deterministic", "stochastic"])
@pytest.mark.parametrize(("method", "params"), INSIDE)
def test_neighbours_and_order_change_no_bit(method, params, stages):
    defense = Bright(RowByRow(), 3, stages, feature_layers=("hidden",))
    images, given = some_images(), references()
    labels = defense.classifier(images).argmax(dim=1)
    whole, _ = attacked(method, params, defense, images, labels, given=given)
    for places in ([0], [11, 3, 7], [2, 5, 1, 9, 10]):
        part, _ = attacked(method, params, defense, images, labels, given=given, places=places)
        assert torch.equal(part, whole[places])


@pytest.mark.parametrize("stages", [[], [Jitter()]], ids=["deterministic", "stochastic"])
@pytest.mark.parametrize(("method", "params"), INSIDE)
def test_candidates_lie_in_ball_and_box(method, params, stages):
    images = some_images(12, 5, -0.2, 1.2).clamp(0, 1)
    labels = torch.arange(12) % 3
    found, _ = attacked(method, params, Bright(linear(3), 3, stages), images, labels)
    assert float((found - images).abs().max()) <= EPS + 1e-6
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@pytest.mark.parametrize(("method", "params"), INSIDE)
def test_an_empty_batch_comes_back_empty(method, params):
    found, _ = attacked(method, params, Bright(linear(3), 3), some_images(0), torch.zeros(0, dtype=torch.int64))
    assert found.shape == (0, 1, 6, 6)


@pytest.mark.parametrize("method", ["fea", "hfc", "wb", "wb-d"])
def test_outside_the_adaptive_track_they_are_refused_with_the_mend(method):
    defense, draw = Bright(linear(3), 3), Randomness(range(4))
    with pytest.raises(BenchError, match="adaptive track"):
        build(method, {})(
            white_box(defense, draw),
            Classification(3).goal(torch.zeros(4, dtype=torch.int64)),
            some_images(4),
            8.0,
            draw,
        )


@pytest.mark.parametrize(("method", "message"), [("fea", "with references"), ("hfc", "with references")])
def test_without_references_they_are_refused_with_the_mend(method, message):
    draw = Randomness(range(4))
    view = adaptive(Defense(linear(3), 3), draw, 1)
    with pytest.raises(BenchError, match=message):
        build(method, {})(view, Classification(3).goal(torch.zeros(4, dtype=torch.int64)), some_images(4), 8.0, draw)


@pytest.mark.parametrize("method", ["wb", "wb-d"])
def test_without_a_detector_there_is_nothing_to_be_accepted_by(method):
    with pytest.raises(BenchError, match="only one with a detector"):
        attacked(method, {}, Defense(linear(3), 3), some_images(4), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fea(steps=0), "steps is 0"),
        (lambda: Fea(guides=0), "guides is 0"),
        (lambda: Fea(alpha_255=-1.0), "alpha_255 is -1.0"),
        (lambda: Hfc(weight=-1.0), "weight is -1.0"),
        (lambda: Hfc(kappa=-1.0), "kappa is -1.0"),
        (lambda: DetectorAware(kappa=-2.0), "kappa is -2.0"),
        (lambda: DetectorAwareDecayed(decay_after=-1), "decay_after is -1"),
    ],
)
def test_a_parameter_out_of_range_is_refused(make, message):
    with pytest.raises(BenchError, match=message):
        make()


def test_the_likelihood_is_highest_at_the_mean_and_counts_deviations_in_standard_deviations():
    usual = Gaussians(mean=torch.tensor([[0.0, 0.0], [1.0, 2.0]]), variance=torch.tensor([[1.0, 1.0], [4.0, 16.0]]))
    classes = torch.tensor([1, 1, 1])
    features = torch.tensor([[1.0, 2.0], [3.0, 2.0], [1.0, 6.0]])
    value = log_likelihood(features, usual, classes)
    assert value[0] == 0
    torch.testing.assert_close(value[1:], torch.tensor([-0.25, -0.25]), rtol=0.05, atol=0)


@pytest.mark.parametrize(("stochastic", "kept"), [(False, 0.6), (True, 0.9)])
def test_kept_is_the_best_iterate_that_fools_and_of_a_random_view_the_latest(stochastic, kept):
    """Fooled above 0.5; the value is highest at 0.6 and at 0, where nothing is fooled."""

    def look(iterate: Tensor) -> Evaluation:
        at = iterate.mean(dim=(1, 2, 3))
        logits = torch.stack([0.5 - at, at - 0.5], dim=1)
        return Evaluation(torch.where(at < 0.45, 1.0, -(at - 0.6).abs()), torch.ones_like(iterate), logits)

    images = torch.zeros(1, 1, 2, 2)
    labels = torch.zeros(1, dtype=torch.int64)
    found, _, fooled = follow(
        look, Classification(2).goal(labels).lost, images, images, 255.0, [0.1] * 9, stochastic=stochastic
    )
    assert fooled.tolist() == [True]
    torch.testing.assert_close(found, torch.full_like(found, kept))
