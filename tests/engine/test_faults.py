"""What goes wrong is reported, never counted as robust, and spreads no further."""

import multiprocessing
import os
import sys
from pathlib import Path

import pytest
import torch
from pandas.testing import assert_frame_equal

from benchmark.attacks import build
from benchmark.engine import RunSettings, cell_run
from benchmark.engine.executors import News, Task, processes
from benchmark.engine.graph import rows_node
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.judge import Judge
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .conftest import COUNTS, MATRIX, STEADY

MARKED = "bool((images[:, 0, 0, 0] > 0.9).any())"
"""True of batches with an image of the last chunk."""

RAISING = """
    class Raising(Linear):
        def forward(self, images):
            if CONDITION:
                raise RuntimeError("out of luck")
            return super().forward(images)


    def build(context):
        return Defense(context.load_weights(Raising(context)), context.num_classes)
    """

DYING = """
    import os


    class Dying(Defense):
        def predict(self, images, draw):
            if CONDITION:
                os._exit(41)
            return super().predict(images, draw)


    def build(context):
        return Dying(classifier(context), context.num_classes)
    """


@pytest.fixture
def plant_attack(monkeypatch):
    """Let FGSM be another attack: ``plant_attack(spoil)``, where ``spoil(candidates, images)`` alters its answer."""

    def plant(spoil):
        def build_spoilt(method, params):
            honest = build(method, params)
            if method != "fgsm":
                return honest

            class Spoilt:
                knowledge = honest.knowledge

                def __call__(self, view, goal, images, eps_255, draw):
                    return spoil(honest(view, goal, images, eps_255, draw), images)

            return Spoilt()

        monkeypatch.setattr(cell_run, "build", build_spoilt)

    return plant


def fgsm_and_others(rows):
    return rows[(rows.attack == "fgsm") & ~rows.skipped], rows[rows.attack != "fgsm"]


@pytest.mark.slow
def test_a_defense_that_ends_its_process_is_started_again_and_its_unit_reported_as_a_gap(run, plant, whole):
    folder = plant("dying", code=DYING.replace("CONDITION", MARKED))
    result = run(["plain", folder], ["no-box"], workers=2)
    assert [str(unit) for unit in result.report.failures] == ["dying/toy/no-box/2"]
    assert "the defense ended its process while answering" in next(iter(result.report.failures.values()))
    rows = result.rows("dying", "no-box")
    gaps = rows[rows.status == "gap"]
    assert len(gaps) == 4
    assert not gaps.correct.any()
    assert set(gaps.reason) == {"the defense ended its process while answering"}
    assert_frame_equal(result.identity("plain", "no-box"), whole.identity("plain", "no-box"))


@pytest.mark.slow
def test_every_worker_may_die_and_the_run_still_ends(run, plant):
    folder = plant("dying", code=DYING.replace("CONDITION", "True"))
    result = run([folder], ["clean"], workers=3)
    assert len(result.report.failures) == 5
    assert set(result.rows("dying", "clean").status) == {"gap"}


def test_a_worker_whose_run_was_killed_ends_in_silence_and_blames_no_attack(root, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cell_run, "PATIENCE", 0)
    settings = RunSettings(root=root, results=tmp_path, data_dir=root / "data", limits=STEADY)
    ours, theirs = multiprocessing.Pipe()
    ours.send(Task(rows_node(Workplace(settings), Unit("plain", "toy", "black-box", 0))))
    ours.close()
    processes.serve(theirs, settings)
    assert "failed" not in caplog.text
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_defense_that_raises_leaves_its_unit_as_a_gap_that_names_the_error(run, plant):
    result = run([plant("raising", code=RAISING.replace("CONDITION", MARKED))], ["white-box"])
    assert [str(unit) for unit in result.report.failures] == ["raising/toy/white-box/2"]
    rows = result.rows("raising", "white-box")
    gaps = rows[rows.status == "gap"]
    assert gaps.sample_id.nunique() == 4
    assert gaps.reason.str.startswith("RuntimeError: out of luck (defense.py:").all()
    assert not gaps.correct.any()
    assert rows[rows.status == "ok"].sample_id.nunique() == 16


LEAVING = """
    import sys


    class Leaving(Linear):
        def forward(self, images):
            if CONDITION:
                sys.exit(3)
            return super().forward(images)


    def build(context):
        return Defense(context.load_weights(Leaving(context)), context.num_classes)
    """


def test_an_entry_that_calls_exit_loses_its_unit_and_ends_nothing_else(run, plant, whole):
    folder = plant("leaving", code=LEAVING.replace("CONDITION", MARKED))
    result = run([folder, "plain"], ["clean"])
    assert result.report.failures
    assert all(why.startswith("SystemExit: 3 (defense.py:") for why in result.report.failures.values())
    gaps = result.rows("leaving", "clean").query("status == 'gap'")
    assert 0 < len(gaps) < COUNTS["test"]
    assert_frame_equal(result.identity("plain", "clean"), whole.identity("plain", "clean"))


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError"])
def test_an_entry_that_raises_what_ends_programs_loses_its_unit_and_ends_nothing_else(run, plant, whole, raised):
    code = "    import asyncio\n" + LEAVING.replace("CONDITION", MARKED).replace("sys.exit(3)", f"raise {raised}('x')")
    result = run([plant("leaving", code=code), "plain"], ["clean"])
    assert result.report.failures
    assert all(raised.split(".")[-1] in why for why in result.report.failures.values())
    assert_frame_equal(result.identity("plain", "clean"), whole.identity("plain", "clean"))


def test_an_entry_that_calls_exit_under_attack_alone_leaves_gaps_of_those_attacks(run, plant):
    folder = plant("leaving", code=LEAVING.replace("CONDITION", "torch.is_grad_enabled()"))
    result = run([folder], ["white-box"])
    assert result.report.failures == {}
    rows = result.rows("leaving", "white-box").query("not skipped")
    by_status = rows.groupby("status").attack.agg(set)
    assert all(why.startswith("SystemExit: 3 (defense.py:") for why in rows[rows.status == "gap"].reason)
    assert by_status["ok"] == {"square"}


CHANGING = """
    import os
    import numpy


    def change():
        torch.set_grad_enabled(False)
        torch.manual_seed(0)
        numpy.random.seed(0)
        os.environ["CHANGED"] = "1"
        os.chdir("/")


    class Changing(Defense):
        def predict(self, images, draw):
            decision = super().predict(images, draw)
            change()
            torch.set_default_dtype(torch.float64)
            return decision


    def build(context):
        change()
        return Changing(classifier(context), context.num_classes)
    """


@pytest.mark.slow
def test_what_an_entry_changes_of_the_interpreter_reaches_neither_the_next_entry_nor_the_caller(run, plant, whole):
    def state():
        return (torch.get_default_dtype(), torch.is_grad_enabled(), Path.cwd(), "CHANGED" in os.environ)

    folder = plant("changing", code=CHANGING)
    before, drawn = state(), torch.get_rng_state()
    result = run([folder, "plain"], ["clean", "white-box"])
    assert state() == before
    assert torch.equal(torch.get_rng_state(), drawn)
    for track in ("clean", "white-box"):
        assert_frame_equal(result.identity("plain", track), whole.identity("plain", track))


def test_a_gap_names_files_of_the_project_by_their_relative_path(run, root, plant_attack):
    def spoil(*_):
        raise FileNotFoundError(f"{root / 'datasets' / 'toy' / 'missing.npz'} is not there")

    plant_attack(spoil)
    fgsm, _ = fgsm_and_others(run(["plain"], ["white-box"]).rows("plain", "white-box"))
    assert set(fgsm.reason) == {"FileNotFoundError: datasets/toy/missing.npz is not there"}


@pytest.mark.slow
def test_a_failed_unit_is_tried_again_by_the_next_run(run, plant, tmp_path):
    folder = plant("dying", code=DYING.replace("CONDITION", MARKED))
    first = run([folder], ["black-box"], tmp_path / "results", workers=2)
    second = run([folder], ["black-box"], tmp_path / "results", workers=2)
    assert list(first.report.failures) == list(second.report.failures)


def test_failures_are_told_in_the_order_of_the_plan_whichever_worker_ends_first(run, plant, monkeypatch):
    def backwards(graph, _store, _executor, hear, _weights):
        for node in reversed(graph.nodes.values()):
            hear(News(node, failure="out of luck"))

    monkeypatch.setattr(sys.modules["benchmark.engine.evaluate"], "drive", backwards)
    result = run(["plain"], ["white-box"])
    chunks = [unit.chunk for unit in result.report.failures]
    assert chunks == sorted(chunks) != chunks[::-1]


def test_an_attack_that_raises_leaves_gaps_of_its_own_cell_only(run, plant_attack, whole):
    def spoil(*_):
        raise FloatingPointError("no luck")

    plant_attack(spoil)
    result = run(["plain"], ["white-box"])
    assert result.report.failures == {}
    fgsm, others = fgsm_and_others(result.rows("plain", "white-box"))
    assert set(fgsm.status) == {"gap"}
    assert set(fgsm.reason) == {"FloatingPointError: no luck"}
    assert not fgsm.correct.any()
    assert set(others.status) == {"ok"}
    # What FGSM would have felled first, the other cells fell themselves.
    honest = whole.rows("plain", "white-box").groupby(["sample_id", "eps_255"]).correct.min()
    assert others.groupby(["sample_id", "eps_255"]).correct.min().equals(honest)


def test_an_attack_that_fails_on_one_batch_leaves_the_others_alone(run, plant_attack):
    calls = []

    def spoil(candidates, _):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("too big")
        return candidates

    plant_attack(spoil)
    fgsm, _ = fgsm_and_others(run(["plain"], ["white-box"], batch_size=3).rows("plain", "white-box"))
    assert fgsm[fgsm.status == "gap"].reason.tolist() == ["MemoryError: too big"] * 3


def test_candidates_that_are_not_finite_are_rejected_image_by_image(run, plant_attack):
    def spoil(candidates, images):
        marked = images[:, 0, 0, 0] > 0.9
        return torch.where(marked[:, None, None, None], torch.nan, candidates)

    plant_attack(spoil)
    fgsm, _ = fgsm_and_others(run(["plain"], ["white-box"]).rows("plain", "white-box"))
    gaps = fgsm[fgsm.status == "gap"]
    assert set(gaps.sample_id) == {"test-00036", "test-00039"}
    assert set(fgsm[fgsm.status == "ok"].sample_id).isdisjoint(gaps.sample_id)
    assert set(gaps.reason) == {"rejected: not finite"}
    assert not gaps.correct.any()
    assert gaps.pred.isna().all()


def test_candidates_outside_the_ball_are_projected_before_they_count_and_say_so(run, plant_attack, whole):
    plant_attack(lambda candidates, images: images + 50 * (candidates - images))
    fgsm, _ = fgsm_and_others(run(["plain"], ["white-box"]).rows("plain", "white-box"))
    honest, _ = fgsm_and_others(whole.rows("plain", "white-box"))
    # Distances have three decimals.
    assert (fgsm.linf <= fgsm.eps_255 / 255 + 5e-4).all()
    assert fgsm.reason.str.match(r"projected: .*/255 beyond the ball").all()
    # On grey images a larger step of the same sign projects to FGSM's own candidate.
    assert fgsm.correct.tolist() == honest.correct.tolist()


@pytest.mark.parametrize("shape", ["fewer", "float64"])
def test_candidates_of_another_shape_or_type_are_a_gap(run, plant_attack, shape):
    plant_attack(lambda candidates, _: candidates[1:] if shape == "fewer" else candidates.double())
    fgsm, _ = fgsm_and_others(run(["plain"], ["white-box"]).rows("plain", "white-box"))
    assert set(fgsm.status) == {"gap"}
    assert fgsm.reason.str.startswith("ValueError: the attack returned").all()


def test_the_judge_sees_images_and_randomness_and_no_label(run, plant):
    code = """
    class Recording(Defense):
        def predict(self, *arguments, **named):
            assert [type(value).__name__ for value in arguments] == ["Tensor", "Randomness"]
            assert not named
            return super().predict(*arguments, **named)


    def build(context):
        return Recording(classifier(context), context.num_classes)
    """
    assert run([plant("recording", code=code)], ["clean"]).report.failures == {}


def test_the_judge_asks_a_copy_that_no_attack_has_touched(run, plant, whole):
    """The classifier goes blind after it has answered once with a gradient: only the attacker's copy does."""
    code = """
    class Blinded(Linear):
        blind = False

        def forward(self, images):
            if torch.is_grad_enabled():
                self.blind = True
            return super().forward(images) * (0 if self.blind else 1)


    def build(context):
        return Defense(context.load_weights(Blinded(context)), context.num_classes)
    """
    rows = run([plant("blinded", code=code)], ["white-box"]).rows("blinded", "white-box")
    honest = whole.rows("plain", "white-box")
    assert rows.pred_clean.tolist() == honest.pred_clean.tolist()
    # A blinded judge would answer class 0 to everything; this one still sees all the classes.
    assert set(rows[~rows.skipped].pred) == {0, 1, 2}


def test_the_judges_labels_are_compared_after_the_decision():
    seen = []

    class Answers:
        stochastic = False

        def renew(self):
            pass

        def to(self, _):
            return self

        def eval(self):
            return self

        def predict(self, images, draw):
            seen.append((images, draw))
            from benchmark.defense import Decision

            return Decision(torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, -1]))

    judge = Judge(Answers(), Classification(2), 5, torch.device("cpu"))
    verdicts = judge.judge(torch.zeros(3, 1, 2, 2), torch.tensor([0, 0, 0]), [("a",), ("b",), ("c",)], again=False)
    assert verdicts.right.tolist() == [True, False, False]
    assert verdicts.draws == 1
    ((_, draw),) = seen
    assert isinstance(draw, Randomness)


def test_a_dear_attack_that_fails_leaves_gaps_at_every_budget_and_never_a_survivor(run, monkeypatch, tmp_path):
    """Below its largest budget a dear cell may leave an image to others only if one of them felled it above."""

    def build_broken(method, params):
        attack = build(method, params)
        if method != "rays":
            return attack

        class Broken:
            knowledge = attack.knowledge

            def __call__(self, *_):
                raise RuntimeError("planted")

        return Broken()

    monkeypatch.setattr(cell_run, "build", build_broken)
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('descend = "felled"\n' + MATRIX.read_text())
    rows = run(["plain"], ["black-box"], matrix=matrix).rows("plain", "black-box").query("attack == 'rays'")
    at_most = rows[rows.eps_255 == 8]
    stood = set(at_most[at_most.status == "gap"].sample_id)
    assert stood
    below = rows[(rows.eps_255 == 4) & rows.sample_id.isin(stood)]
    assert set(below.status) == {"gap"}
    assert not below.correct.any()
