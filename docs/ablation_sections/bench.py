"""Images, classifiers and the three attackers of every section."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.access import adaptive, white_box
from benchmark.attacks.apgd import Apgd
from benchmark.attacks.base import GradientAttack
from benchmark.attacks.pgd import Pgd
from benchmark.data.official import stratified_ids
from benchmark.data.registry import find_card, load_split, official_subset
from benchmark.defense import Backward, Defense, Stage
from benchmark.defense.stages import BinomialVote
from benchmark.judge import Judge, Judgement
from benchmark.randomness import Randomness, content_seed
from benchmark.root import Root
from benchmark.submission import find_entry
from benchmark.task.classification import Classification
from benchmark.verify import verify

ROOT = Root(Path(__file__).resolve().parents[2])

DATASET = "pneumoniamnist"
"""The data set of a section unless it names another."""
DATASETS = (DATASET, "synthetic_cxr", "isic2017_64")
ENTRIES = ("natural", "pgd_at")
IMAGES = 128
EPS_255 = 8.0
STEPS = 20
LONG = 100
"""Steps of Auto-PGD; shorter attacks are too weak against quantisation."""
EOT = 10
JUDGE_DRAWS = 5
"""Draws of a random defense without a vote; a vote of 200 copies gets one draw, because its decision rarely changes."""
COPIES, ALPHA = 200, 0.001

CLEAN, BLIND, AWARE = "clean", "non-adaptive", "adaptive"
ATTACKERS = (CLEAN, BLIND, AWARE)

Json = Any
"""A JSON value."""


class Bench:
    """Images of the official subset, with the attacks on them and the judge.

    Args:
        images: at most this many, in the benchmark's stratified order.
        dataset: name of the data set.
    """

    def __init__(self, images: int = IMAGES, dataset: str = DATASET) -> None:
        self.card = find_card(dataset, ROOT)
        official = official_subset(self.card, load_split(self.card, "test", ROOT))
        self.split = official.by_ids(stratified_ids(official, images, []))
        self.task = Classification(len(self.card.classes))
        self.classifier = cache(self._classifier)
        self.blind = cache(self._blind)

    def _classifier(self, entry: str) -> torch.nn.Module:
        return find_entry(ROOT, entry).build(self.card).classifier

    def defense(self, entry: str, stages: Sequence[Stage] = (), vote: BinomialVote | None = None) -> Defense:
        """An entry's classifier behind stages and a vote."""
        return Defense(self.classifier(entry), self.task.num_classes, stages, vote)

    def _draw(self, *purpose: object) -> Randomness:
        return Randomness(content_seed(self.card.name, name, "ablations", *purpose) for name in self.split.ids)

    def _blind(self, entry: str) -> Tensor:
        """Images (N, C, H, W) of the non-adaptive attacker."""
        return self._of_the_bare(entry, Pgd(steps=STEPS), self._draw(entry, BLIND))

    def _of_the_bare(self, entry: str, attack: GradientAttack, draw: Randomness) -> Tensor:
        images, labels = self.split.images, self.split.labels
        view = white_box(self.defense(entry), draw.fork("view"))
        found = attack(view, self.task.goal(labels), images, EPS_255, draw)
        return verify(found, images, "linf", EPS_255).images

    def blind_to(self, entry: str, name: str, attack: GradientAttack) -> Tensor:
        """Adversarial images (N, C, H, W) of an attack on the bare classifier."""
        return self._of_the_bare(entry, attack, self._draw(entry, BLIND, name))

    def right(self, defenses: Mapping[str, Defense], images: Tensor) -> dict[str, list[int]]:
        """Per defense and image (N, C, H, W): 1 if the prediction is correct, else 0."""
        return {name: self._judged(defense, images).right.int().tolist() for name, defense in defenses.items()}

    def aware(self, entry: str, defense: Defense) -> Tensor:
        """Images (N, C, H, W) of the adaptive attacker.

        It starts from the images of the non-adaptive one. Three attacks follow, each on the images that are still
        classified correctly: PGD on the cross-entropy with the backward passes that the stages declare, PGD on the
        margin with the identity as the backward pass, and targeted Auto-PGD with the declared backward passes. (With
        two classes, margin and cross-entropy have gradients of the same direction at every single draw.)
        """
        found = self.blind(entry).clone()
        attempts: list[tuple[str, GradientAttack, Backward]] = [
            ("cross_entropy", Pgd(steps=STEPS), "declared"),
            ("margin", Pgd(steps=STEPS, loss="margin"), "identity"),
            ("apgd", Apgd(iterations=LONG, loss="targeted"), "declared"),
        ]
        for name, attack, backward in attempts:
            remaining = self._judged(defense, found).right.nonzero().squeeze(1)
            if len(remaining) == 0:
                break
            part = self.split.subset(remaining.tolist())
            draw = self._draw(entry, AWARE, name, backward).take(remaining)
            view = adaptive(defense, draw.fork("view"), EOT, backward)
            candidates = attack(view, self.task.goal(part.labels), part.images, EPS_255, draw)
            found[remaining] = verify(candidates, part.images, "linf", EPS_255).images
        return found

    def images_of(self, attacker: str, entry: str, defense: Defense) -> Tensor:
        """The attacker's images (N, C, H, W)."""
        if attacker == CLEAN:
            return self.split.images
        return self.blind(entry) if attacker == BLIND else self.aware(entry, defense)

    def _judged(self, defense: Defense, images: Tensor) -> Judgement:
        draws = JUDGE_DRAWS if defense.vote is None else 1
        purposes = [(self.card.name, name, "ablations") for name in self.split.ids]
        return Judge(defense, self.task, draws, torch.device("cpu")).judge(images, self.split.labels, purposes)

    def measured(self, entry: str, defense: Defense, judged: Defense | None = None) -> dict[str, Json]:
        """Per attacker and image: correctness, abstention, and the score and number of copies of a vote.

        Args:
            entry: name of the entry that provides the classifier.
            defense: the defense under attack.
            judged: the defense that predicts, if another one.
        """
        found = {}
        for attacker in ATTACKERS:
            judgement = self._judged(judged or defense, self.images_of(attacker, entry, defense))
            first = judgement.first
            found[attacker] = {
                "right": judgement.right.int().tolist(),
                "abstained": first.abstained.int().tolist(),
                "score": None if first.score is None else first.score.tolist(),
                "copies": None if first.copies is None else first.copies.tolist(),
            }
        return found
