"""What two runs of one unit are compared by."""

import pandas as pd
import pytest

from benchmark.engine.rerun import _comparable

ROW = {"attack": "pgd", "norm": "linf", "eps_255": 8.0, "severity": None, "sample_id": "a", "status": "ok"}


def verdict(**facts: object) -> str:
    frame = pd.DataFrame([{**ROW, "pred": None, "correct": None, "preds": None, **facts}])
    return str(_comparable(frame).verdict.iloc[0])


@pytest.mark.parametrize("correct", [None, False], ids=["missing", "read as false"])
def test_a_measurement_has_no_verdict_however_its_gaps_are_read(correct: object) -> None:
    assert verdict(correct=correct) == "ok"


def test_a_decision_is_compared_by_label_and_verdict() -> None:
    assert verdict(pred=1, correct=True) != verdict(pred=1, correct=False)
    assert verdict(pred=1.0, correct=True) == verdict(pred=1, correct=True)
    assert verdict(pred=-1, correct=False) != verdict(pred=0, correct=False)


def test_a_sequence_is_compared_by_its_labels() -> None:
    assert verdict(preds=[0, 1]) != verdict(preds=[0, 0])
