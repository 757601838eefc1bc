"""The images, classifiers and three attackers that every section measures with."""

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
from benchmark.task import Classification
from benchmark.verify import verify

ROOT = Root(Path(__file__).resolve().parents[2])

DATASET = "pneumoniamnist"
"""The data set of every section that names no other."""
DATASETS = (DATASET, "synthetic_cxr", "isic2017_64")
ENTRIES = ("natural", "pgd_at")
IMAGES = 128
EPS_255 = 8.0
STEPS = 20
LONG = 100
"""Steps of Auto-PGD: against a quantiser the shorter attacks are too weak."""
EOT = 10
JUDGE_DRAWS = 5
"""Draws of a random defense without a vote; a vote of 200 copies is one draw, for it hardly ever changes its mind."""
COPIES, ALPHA = 200, 0.001

CLEAN, BLIND, AWARE = "clean", "non-adaptive", "adaptive"
ATTACKERS = (CLEAN, BLIND, AWARE)

Json = Any
"""What a JSON file can hold."""


class Bench:
    """Images of the official subset and everything that attacks and judges them.

    Args:
        images: at most how many, drawn by the benchmark's own stratified order.
        dataset: of which data set.
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
        """Images (N, C, H, W) of the attacker that knows the bare classifier alone."""
        return self._of_the_bare(entry, Pgd(steps=STEPS), self._draw(entry, BLIND))

    def _of_the_bare(self, entry: str, attack: GradientAttack, draw: Randomness) -> Tensor:
        images, labels = self.split.images, self.split.labels
        view = white_box(self.defense(entry), draw.fork("view"))
        found = attack(view, self.task, images, labels, EPS_255, draw)
        return verify(found, images, "linf", EPS_255).images

    def blind_to(self, entry: str, name: str, attack: GradientAttack) -> Tensor:
        """Images (N, C, H, W) that an attack finds against the bare classifier."""
        return self._of_the_bare(entry, attack, self._draw(entry, BLIND, name))

    def right(self, defenses: Mapping[str, Defense], images: Tensor) -> dict[str, list[int]]:
        """Per defense, 1 for each of the images (N, C, H, W) that it is right about, else 0."""
        return {name: self._judged(defense, images).right.int().tolist() for name, defense in defenses.items()}

    def aware(self, entry: str, defense: Defense) -> Tensor:
        """Images (N, C, H, W) of the attacker that knows everything.

        It takes over what the non-adaptive one has found. Then attacks follow, each on the images that still stand: PGD
        on the cross-entropy through the backward passes that the stages declare, PGD on the margin through the identity
        and targeted Auto-PGD through the declared ones. (For two classes margin and cross-entropy have gradients of one
        direction at every single draw.)
        """
        found = self.blind(entry).clone()
        attempts: list[tuple[str, GradientAttack, Backward]] = [
            ("cross_entropy", Pgd(steps=STEPS), "declared"),
            ("margin", Pgd(steps=STEPS, loss="margin"), "identity"),
            ("apgd", Apgd(iterations=LONG, loss="targeted"), "declared"),
        ]
        for name, attack, backward in attempts:
            standing = self._judged(defense, found).right.nonzero().squeeze(1)
            if len(standing) == 0:
                break
            part = self.split.subset(standing.tolist())
            draw = self._draw(entry, AWARE, name, backward).take(standing)
            view = adaptive(defense, draw.fork("view"), EOT, backward)
            candidates = attack(view, self.task, part.images, part.labels, EPS_255, draw)
            found[standing] = verify(candidates, part.images, "linf", EPS_255).images
        return found

    def images_of(self, attacker: str, entry: str, defense: Defense) -> Tensor:
        """What an attacker hands in, (N, C, H, W)."""
        if attacker == CLEAN:
            return self.split.images
        return self.blind(entry) if attacker == BLIND else self.aware(entry, defense)

    def _judged(self, defense: Defense, images: Tensor) -> Judgement:
        draws = JUDGE_DRAWS if defense.vote is None else 1
        purposes = [(self.card.name, name, "ablations") for name in self.split.ids]
        return Judge(defense, self.task, draws, torch.device("cpu")).judge(images, self.split.labels, purposes)

    def measured(self, entry: str, defense: Defense, judged: Defense | None = None) -> dict[str, Json]:
        """Per attacker and image: whether the answer is right, whether there is none, a vote's score and its copies.

        Args:
            entry: whose classifier it is.
            defense: what is attacked.
            judged: what answers, where it is not the same.
        """
        found = {}
        for attacker in ATTACKERS:
            verdicts = self._judged(judged or defense, self.images_of(attacker, entry, defense))
            first = verdicts.first
            found[attacker] = {
                "right": verdicts.right.int().tolist(),
                "abstained": first.abstained.int().tolist(),
                "score": None if first.score is None else first.score.tolist(),
                "copies": None if first.copies is None else first.copies.tolist(),
            }
        return found
