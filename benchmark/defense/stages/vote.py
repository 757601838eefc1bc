"""Majority vote with statistical abstention (MedRDF, Algorithm 1)."""

import torch
from scipy.stats import binom
from torch import Tensor
from torch.nn.functional import one_hot

from benchmark.defense.decision import ABSTAINED, Decision


class BinomialVote:
    """Answer with the class most copies get, or abstain when the lead could be chance.

    The lead is tested as MedRDF's equation 5 does: the two-sided p-value of n_A successes in n_A + n_B fair tosses must
    be at most ``alpha``. (Algorithm 1 sizes its counter by n; it needs one place per class.) ``score`` is the Robust
    Metric K (n_A - n_B) / n in [0, K].

    Args:
        copies: n, random copies per image.
        alpha: level of the test.
    """

    def __init__(self, copies: int, alpha: float = 0.001) -> None:
        if copies < 2:
            raise ValueError(f"a vote needs at least 2 copies, not {copies}")
        self.copies = copies
        self.alpha = alpha

    def decide(self, logits: Tensor) -> Decision:
        """Decide from logits of shape (N, n, K); ``probs`` are the shares of the votes."""
        classes = logits.shape[2]
        counts = one_hot(logits.argmax(dim=2), classes).sum(dim=1)
        top = counts.topk(2, dim=1)
        first, second = top.values[:, 0], top.values[:, 1]
        tosses = (first + second).cpu().numpy()
        p_value = torch.from_numpy(2 * binom.cdf(second.cpu().numpy(), tosses, 0.5)).clamp(max=1).to(logits.device)
        label = torch.where(p_value <= self.alpha, top.indices[:, 0], torch.full_like(first, ABSTAINED))
        return Decision(
            probs=counts.float() / logits.shape[1],
            label=label,
            score=classes * (first - second).float() / logits.shape[1],
        )
