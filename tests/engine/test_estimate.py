"""What a run will take, told beforehand; and a remaining time that never grows."""

from types import SimpleNamespace

import pytest

from benchmark.cli.evaluate import Remaining
from benchmark.engine import RunSettings, Unit
from benchmark.engine import estimate as estimate_module
from benchmark.engine.estimate import estimate, in_words, wall_seconds
from benchmark.engine.probe import Pace
from benchmark.engine.workplace import Workplace


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "5 s"), (41, "40 s"), (89, "90 s"), (90, "2 min"), (750, "12 min"), (5399, "90 min"), (12600, "3.5 h")],
)
def test_durations_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_one_worker_does_one_unit_after_another() -> None:
    assert wall_seconds([10, 20, 30], 1) == 60


def test_workers_take_the_next_unit_when_they_are_free() -> None:
    assert wall_seconds([30, 10, 10, 10], 2) == pytest.approx(30, abs=10)


def test_more_workers_than_units_do_not_hurry_the_longest() -> None:
    assert wall_seconds([100, 1], 8) >= 100


def test_the_remaining_time_never_grows_however_slow_the_run_gets() -> None:
    column = Remaining()
    column.expect(100)
    paces = [(0.0, 0.0), (0.1, 30.0), (0.2, 100.0), (0.3, 400.0), (0.9, 500.0), (1.0, 510.0)]
    shown = [str(column.render(SimpleNamespace(completed=c, total=1.0, elapsed=e))) for c, e in paces]  # type: ignore[arg-type]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == "0:01:40"
    assert shown[-1] == "0:00:00"


def test_a_run_that_is_faster_than_expected_shows_it() -> None:
    column = Remaining()
    column.expect(1000)
    half = column.render(SimpleNamespace(completed=0.5, total=1.0, elapsed=20.0))  # type: ignore[arg-type]
    assert str(half) == "0:00:20"


def test_fitting_attacks_is_expected_to_take_the_same_for_few_images_as_for_many(root, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(
        estimate_module, "paces", lambda _place, units, _workers: dict.fromkeys(units, Pace(0.01, 0.03))
    )

    def seconds(track: str, limit: int | None) -> float:
        place = Workplace(RunSettings(root=root, results=tmp_path, data_dir=root / "data", limit=limit))
        units = [Unit("plain", "toy", track, chunk) for chunk in range(place.chunks("toy", track))]
        return sum(estimate(place, units).values())

    assert seconds("gray-box", 5) == pytest.approx(seconds("gray-box", None), rel=0.1)
    assert seconds("white-box", 5) < seconds("white-box", None) / 2
