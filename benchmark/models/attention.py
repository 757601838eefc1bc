"""Additive attention gates: where a fine map is worth looking at, told by a coarse one that has seen everything."""

from torch import Tensor, nn

NO_CONTRAST = 1e-4
"""Added to every lifted score: far below scores that differ, far above what rounding makes of equal ones."""


class AttentionGate(nn.Module):
    """One weight per position of the fine maps.

    Scores are q = psi(ReLU(W_x x + W_g g + b)) with 1x1 convolutions, the coarse maps W_g g + b interpolated
    bilinearly to the fine ones' size (Schlemper et al. 2019; Yan et al. 2019).

    - Distributed weights, (q - min q) / sum(q - min q) over the positions, are Schlemper's for classification: they lie
      in [0, 1], sum to one, and are sparser than a sigmoid's and less so than a softmax's. A bias of psi would
      cancel, so there is none.
    - Independent weights, sigmoid(q) with a bias in psi and none in W_g, are Yan's.

    Its output is the map of weights, so that the gate's name is a feature layer.

    Args:
        fine, coarse: channels of the two.
        hidden: channels in which they meet.
        distributed: which of the two kinds of weights.
    """

    def __init__(self, fine: int, coarse: int, hidden: int, distributed: bool) -> None:
        super().__init__()
        self.distributed = distributed
        self.fine = nn.Conv2d(fine, hidden, 1, bias=False)
        self.coarse = nn.Conv2d(coarse, hidden, 1, bias=distributed)
        # A module, so that feature enhancement finds it.
        self.relu = nn.ReLU()
        self.score = nn.Conv2d(hidden, 1, 1, bias=not distributed)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Map (N, F, H, W) and (N, C, h, w) to weights (N, 1, H, W) in [0, 1]."""
        context = nn.functional.interpolate(
            self.coarse(coarse), size=fine.shape[2:], mode="bilinear", align_corners=False
        )
        scores: Tensor = self.score(self.relu(self.fine(fine) + context))
        if not self.distributed:
            return scores.sigmoid()
        # Scores that are all the same, as on a blank image, weigh every position alike instead of dividing by zero.
        lifted = scores - scores.amin(dim=(2, 3), keepdim=True) + NO_CONTRAST
        return lifted / lifted.sum(dim=(2, 3), keepdim=True)
