"""Numbers worked out by hand against the records."""

import csv
import dataclasses
import json
import math
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from leaderboard.bootstrap import bootstrap, interval
from leaderboard.clean import weighted_auc
from leaderboard.metrics import records
from leaderboard.record import as_csv, as_json


def value(found, **wanted):
    """The one record with these fields."""
    hits = [r for r in found if all(getattr(r, name) == wish for name, wish in wanted.items())]
    assert len(hits) == 1, (wanted, hits)
    return hits[0]


def test_clean_accuracy_counts_the_whole_split_and_abstentions_as_not_right(table, pretend):
    rows = pretend("natural", tracks=("clean",)).rows()
    rows[3].update(pred=-1, abstained=True, correct=False, right_draws=0)
    found = records(table(rows))
    assert value(found, metric="accuracy").value == pytest.approx(11 / 12)
    assert value(found, metric="abstention_rate").value == pytest.approx(1 / 12)


def test_balanced_accuracy_is_the_mean_of_the_sensitivities(table, pretend):
    labels = (0,) * 9 + (1,) * 3
    found = records(table(pretend("natural", labels=labels, tracks=("clean",), wrong_clean=frozenset({9, 10}))))
    assert value(found, metric="accuracy").value == pytest.approx(10 / 12)
    assert value(found, metric="sensitivity_class_0").value == 1.0
    assert value(found, metric="sensitivity_class_1").value == pytest.approx(1 / 3)
    assert value(found, metric="balanced_accuracy").value == pytest.approx(2 / 3)
    assert value(found, metric="majority_class_rate").value == pytest.approx(9 / 12)


def test_auc_equals_scikit_learns_with_ties():
    generator = np.random.default_rng(0)
    positive = generator.integers(0, 2, 200).astype(float)
    scores = np.round(generator.random(200) + 0.3 * positive, 1)
    weights = generator.integers(0, 4, (3, 200)).astype(float)
    ours = weighted_auc(scores, positive, weights)
    theirs = [roc_auc_score(positive, scores, sample_weight=w) for w in weights]
    assert ours == pytest.approx(theirs)


def test_auc_of_several_classes_is_the_macro_mean_of_one_against_rest(table, pretend):
    generator = np.random.default_rng(1)
    rows = pretend("natural", labels=(0, 1, 2) * 20, attacked=0, tracks=("clean",)).rows()
    drawn = generator.dirichlet((1, 1, 1), 60)
    for one, probs in zip(rows, drawn, strict=True):
        one.update(task="multiclass", probs=probs.tolist())
    kept = np.array([one["probs"] for one in rows], dtype=np.float32)
    labels = [one["label"] for one in rows]
    theirs = roc_auc_score(labels, kept / kept.sum(1, keepdims=True), multi_class="ovr", average="macro")
    assert value(records(table(rows)), metric="auc").value == pytest.approx(theirs, abs=1e-6)


def test_worst_case_is_taken_per_image_not_per_attack(table, pretend):
    """Two attacks fell different images: each alone leaves 7 of 10, together they leave 4."""
    falls = {("white-box", "pgd-20", i): 8.0 for i in (1, 2, 3)} | {("white-box", "square", i): 8.0 for i in (4, 5, 6)}
    found = records(table(pretend("natural", falls=falls, skip=False)))
    at = {"track": "white-box", "eps_255": 8.0, "metric": "robust_accuracy"}
    assert value(found, attack="pgd-20", **at).value == pytest.approx(0.7)
    assert value(found, attack="square", **at).value == pytest.approx(0.7)
    assert value(found, attack="autoattack", **at).value == pytest.approx(0.7)
    assert value(found, attack="worst-case", **at).value == pytest.approx(0.4)
    assert value(found, attack="worst-case", track="white-box", eps_255=4.0).value == 1.0


def test_worst_case_over_all_tracks_joins_the_tracks_per_image(table, pretend):
    falls = {("no-box", "pgd-20", 0): 2.0, ("black-box", "square", 1): 4.0, ("adaptive", "apgd-ce", 2): 8.0}
    found = records(table(pretend("natural", falls=falls, wrong_clean=frozenset({9}))))
    overall = [
        value(found, track="all", metric="robust_accuracy", eps_255=eps, attack="worst-case").value
        for eps in (1.0, 2.0, 4.0, 8.0)
    ]
    assert overall == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert value(found, metric="accuracy_on_attacked_subset").value == pytest.approx(0.9)


def test_skipped_work_gives_the_same_worst_case_and_cells_named_cumulative(table, pretend):
    falls = {("white-box", "fgsm", i): 2.0 for i in range(4)} | {("white-box", "apgd-ce", i): 4.0 for i in range(6)}
    skipped = records(table(pretend("natural", falls=falls)))
    alone = records(table(pretend("natural", falls=falls, skip=False)))
    for eps in (1.0, 2.0, 4.0, 8.0):
        wanted = {"track": "white-box", "attack": "worst-case", "eps_255": eps}
        assert value(skipped, **wanted).value == value(alone, **wanted).value
    cell = {"track": "white-box", "attack": "square", "eps_255": 8.0}
    assert value(alone, **cell).metric == "robust_accuracy"
    assert value(alone, **cell).value == 1.0
    assert value(skipped, **cell).metric == "robust_accuracy_cumulative"
    assert value(skipped, **cell).value == pytest.approx(0.4)


def test_a_stochastic_defense_is_reported_as_the_mean_over_draws_under_the_worst_cell(table, pretend):
    """Image 0: 3 of 4 draws under one cell, 1 of 4 under another: it counts a quarter; all others stand whole."""
    rows = pretend("vote", skip=False).rows()
    for one in rows:
        one.update(draws=4, right_draws=4)
        if one["track"] == "adaptive" and one["sample_id"] == "00000" and one["eps_255"] == 8.0:
            if one["attack"] == "pgd-20":
                one.update(right_draws=3)
            if one["attack"] == "square":
                one.update(right_draws=1, correct=False)
    worst = value(records(table(rows)), track="all", metric="robust_accuracy", attack="worst-case", eps_255=8.0)
    assert worst.value == pytest.approx(9.25 / 10)


def test_a_stochastic_image_that_is_wrong_clean_counts_nothing_however_often_it_was_right(table, pretend):
    rows = pretend("vote", skip=False).rows()
    for one in rows:
        one.update(draws=4, right_draws=4)
        if one["sample_id"] == "00000":
            one.update(correct=False, right_draws=1 if one["track"] == "clean" else 3)
    found = records(table(rows))
    assert value(found, track="all", metric="robust_accuracy", attack="worst-case", eps_255=8.0).value == pytest.approx(
        0.9
    )
    assert value(found, track="clean", metric="accuracy").value == pytest.approx(11.25 / 12)


def test_a_skipped_stochastic_image_keeps_its_share_where_it_fell_and_none_at_larger_budgets(table, pretend):
    """Image 0 falls at 2/255 with 1 of 4 draws right; at 4 and 8/255 nothing was measured, so it counts nothing."""
    rows = pretend("vote", falls={("white-box", "fgsm", 0): 2.0}).rows()
    for one in rows:
        one.update(draws=4, right_draws=4 if one["correct"] else 1)
    found = records(table(rows))
    at = {eps: value(found, track="white-box", attack="worst-case", eps_255=eps).value for eps in (1.0, 2.0, 4.0, 8.0)}
    assert at == pytest.approx({1.0: 1.0, 2.0: 9.25 / 10, 4.0: 0.9, 8.0: 0.9})


def test_flip_probability_compares_noise_with_frame_0_and_the_rest_with_their_neighbour(table, pretend):
    """Odd frames wrong, frames 0..4, every other image: noise flips in 2 of 4 pairs, the others in 4 of 4."""
    found = records(table(pretend("natural", corrupted=10, tracks=("corruption",), flip_every=2)))
    noise = value(found, attack="shot_noise", severity=3, metric="flip_probability")
    other = value(found, attack="rotate", severity=3, metric="flip_probability")
    assert noise.value == pytest.approx(0.5 * 0.5)
    assert other.value == pytest.approx(0.5 * 1.0)
    mean = value(found, attack="mean", severity=None, metric="mean_flip_probability")
    assert mean.value == pytest.approx(0.5 * (3 * 0.5 + 11 * 1.0) / 14)


def test_corruption_accuracy_leaves_out_the_clean_frame(table, pretend):
    found = records(table(pretend("natural", corrupted=10, tracks=("corruption",), flip_every=1)))
    assert value(found, attack="snow", severity=5, metric="accuracy").value == pytest.approx(0.5)


def test_relative_flip_probability_is_the_ratio_to_the_natural_baseline(table, pretend):
    natural = pretend("natural", corrupted=10, tracks=("corruption",), flip_every=2)
    steady = pretend("pgd_at", corrupted=10, tracks=("corruption",), flip_every=5)
    found = records(table(natural, steady))
    wanted = {"attack": "mean", "severity": None, "metric": "relative_flip_probability"}
    assert value(found, submission="natural", **wanted).value == pytest.approx(1.0)
    assert value(found, submission="pgd_at", **wanted).value == pytest.approx(2 / 5)


def test_median_queries_are_those_of_the_images_that_were_attacked(table, pretend):
    found = records(table(pretend("natural", wrong_clean=frozenset({9}))))
    median = value(found, metric="queries_median", attack="square", eps_255=8.0)
    assert (median.value, median.n) == (500.0, 9)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        right = (generator.random(100) < 0.7).astype(float)
        groups = [f"{trial}-{i}" for i in range(100)]
        low, high = interval(bootstrap(groups).means(right[:, None]))
        covered += bool(low[0] <= 0.7 <= high[0])
    assert 0.89 <= covered / 200 <= 0.98


def test_the_interval_lies_between_the_quantiles_of_two_and_a_half_percent():
    low, high = interval(np.arange(1001.0)[:, None])
    assert (low[0], high[0]) == pytest.approx((25, 975))


def test_images_of_one_patient_widen_the_interval():
    values = np.repeat(np.arange(20) % 2, 5).astype(float)[:, None]
    apart = interval(bootstrap([str(i) for i in range(100)]).means(values))
    together = interval(bootstrap([str(i // 5) for i in range(100)]).means(values))
    assert together[1][0] - together[0][0] > 1.5 * (apart[1][0] - apart[0][0])


def test_intervals_are_the_same_in_every_run_and_order(table, pretend):
    rows = table(pretend("natural", falls={("white-box", "fgsm", i): 8.0 for i in range(4)}, flip_every=3))
    bootstrap.__globals__["_cached"].cache_clear()
    assert records(rows) == records(rows.sample(frac=1.0, random_state=0).reset_index(drop=True))


def test_records_are_written_as_valid_json_and_csv(table, pretend):
    found = records(table(pretend("natural", tracks=("clean",))))
    plain = json.loads(as_json(found))
    assert plain[0]["metric"] == "accuracy"
    assert plain[0]["eps_255"] is None
    assert (
        as_csv(found).splitlines()[0].startswith("submission,dataset,track,attack,norm,eps_255,severity,metric,value")
    )


def test_a_value_that_does_not_exist_is_empty_in_csv_and_null_in_json(table, pretend):
    first, *_ = records(table(pretend("natural", tracks=("clean",))))
    found = [dataclasses.replace(first, value=math.nan, low=math.inf)]
    (line,) = csv.DictReader(as_csv(found).splitlines())
    assert (line["value"], line["low"]) == ("", "")
    assert json.loads(as_json(found))[0]["value"] is None


def test_an_auc_of_a_class_without_an_image_is_no_number_and_not_told(table, pretend):
    rows = [one | {"label": 0, "probs": [0.6, 0.4]} for one in pretend("natural", tracks=("clean",)).rows()]
    told = {one.metric for one in records(table(rows))}
    assert "accuracy" in told
    assert "auc" not in told


def test_three_hundred_thousand_frames_of_corruption_sequences_take_seconds(table, pretend):
    small = table(pretend("natural", tracks=("corruption",), frames=21, flip_every=2))
    copies = [
        small.assign(sample_id=small["sample_id"] + f"-{i}", group_id=small["group_id"] + f"-{i}") for i in range(103)
    ]
    rows = pd.concat(copies, ignore_index=True)
    assert rows["preds"].map(len).sum() > 300_000
    start = time.perf_counter()
    records(rows)
    assert time.perf_counter() - start < 20


def test_an_unranked_cell_has_a_figure_of_its_own_and_enters_no_worst_case(table, pretend):
    rows = pretend("one", falls={("white-box", "fgsm", i): 8.0 for i in range(4)}, skip=False).rows()
    for row in rows:
        row["unranked"] = row["track"] == "white-box" and row["attack"] == "fgsm"
    found = records(table(rows))
    assert value(found, track="white-box", attack="fgsm", eps_255=8.0, metric="robust_accuracy").value == pytest.approx(
        0.6
    )
    assert value(found, track="white-box", attack="worst-case", eps_255=8.0, metric="robust_accuracy").value == 1.0
    assert value(found, track="all", attack="worst-case", eps_255=8.0, metric="robust_accuracy").value == 1.0


def test_budgets_of_another_norm_have_a_worst_case_of_their_own(table, pretend):
    rows = pretend("one").rows()
    for row in [row for row in rows if row["track"] == "white-box" and row["attack"] == "fgsm"]:
        rows.append({**row, "attack": "pgd-l2", "norm": "l2", "correct": False, "right_draws": 0})
    found = records(table(rows))
    assert value(found, track="all", attack="worst-case", norm="l2", eps_255=8.0, metric="robust_accuracy").value == 0.0
    assert (
        value(found, track="all", attack="worst-case", norm="linf", eps_255=8.0, metric="robust_accuracy").value == 1.0
    )


@pytest.mark.parametrize(("missing", "told"), [((), True), (("adaptive",), False), (("gray-box",), False)])
def test_in_every_norm_there_is_a_figure_over_all_tracks_only_when_there_are_all(table, pretend, missing, told):
    rows = [row for row in pretend("natural").rows() if row["track"] not in missing]
    in_l2 = [
        row | {"attack": "pgd-l2", "norm": "l2"}
        for row in rows
        if (row["track"], row["attack"]) == ("white-box", "fgsm")
    ]
    found = records(table([*rows, *in_l2]))
    over_all = {one.norm for one in found if (one.track, one.attack, one.eps_255) == ("all", "worst-case", 8.0)}
    assert over_all == ({"linf", "l2"} if told else set())
    assert any((one.track, one.attack, one.norm) == ("white-box", "worst-case", "l2") for one in found)
