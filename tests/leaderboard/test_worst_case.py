"""Properties of the per-image worst case, whatever the scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from leaderboard.verdicts import CellKey, Verdicts

SHARES = st.sampled_from([0.0, 0.2, 0.6, 1.0, np.nan])
SCORES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6), elements=SHARES)


def judged(scores: np.ndarray) -> Verdicts:
    images, cells = scores.shape
    names = [str(i) for i in range(images)]
    keys = [CellKey("white-box", f"attack-{i}", "linf", 8.0) for i in range(cells)]
    return Verdicts(
        names,
        names,
        keys,
        [""] * cells,
        [True] * cells,
        [False] * cells,
        scores,
        np.zeros(scores.shape, bool),
        np.ones(images),
    )


@given(SCORES)
def test_one_more_attack_never_helps_the_defense(scores):
    verdicts = judged(scores)
    every = range(scores.shape[1])
    assert (verdicts.worst(every)[0] <= verdicts.worst(list(every)[:-1] or [0])[0]).all()


@given(SCORES)
def test_the_worst_case_is_never_above_any_single_attack(scores):
    worst, complete = judged(scores).worst(range(scores.shape[1]))
    assert (worst[complete][:, None] <= scores[complete]).all()


@given(SCORES)
def test_a_lost_verdict_never_helps_the_defense(scores):
    before = judged(scores).worst(range(scores.shape[1]))[0]
    holed = scores.copy()
    holed[:, 0] = np.nan
    after, complete = judged(holed).worst(range(scores.shape[1]))
    assert (after <= before).all()
    assert not complete.any()
