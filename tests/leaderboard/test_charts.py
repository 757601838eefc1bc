"""The curves of an entry's page."""

import re
from itertools import pairwise
from pathlib import Path

from benchmark.matrix.rules import rules
from leaderboard import site
from leaderboard.site.charts import Series, curves


def heights(*series):
    """Height of each label, by its text."""
    drawn = str(curves(series, "title"))
    return {text: float(y) for y, text in re.findall(r'<text class="label[^>]* y="([\d.]+)">([^<]+)</text>', drawn)}


def line(name, *points):
    return Series(name, tuple((eps, value, value, value) for eps, value in points))


def test_labels_of_lines_that_end_together_keep_a_line_apart():
    found = heights(line("one", (1, 0.9), (8, 0.50)), line("two", (1, 0.9), (8, 0.49)))
    assert found["two"] - found["one"] >= 10


def test_labels_of_lines_that_end_apart_share_the_margin_and_never_a_place():
    series = [line("short", (1, 1.0), (2, 1.0)), line("longer", (1, 1.0), (8, 1.0)), line("far", (1, 0.9), (13, 1.0))]
    drawn = str(curves(series, "title"))
    assert len(set(re.findall(r'<text class="label s\d" x="([\d.]+)"', drawn))) == 1
    found = sorted(heights(*series).values())
    assert all(after - before >= 10 for before, after in pairwise(found))


def test_a_leader_joins_a_label_to_the_line_that_ends_before_the_margin():
    drawn = str(curves([line("short", (1, 0.9), (8, 0.5)), line("far", (1, 0.9), (13, 0.3))], "title"))
    assert re.findall(r'class="leader (s\d)"', drawn) == ["s0"]


def test_each_track_has_a_line_a_mark_and_a_label_of_its_own_colour():
    style = (Path(site.__file__).parent / "static" / "style.css").read_text("utf-8")
    for index in range(len(rules().attack_tracks) + 1):
        for part in ("line", "mark", "label"):
            assert f".curves .{part}.s{index}" in style
        # One colour for light, one for dark by choice and by the system's, and light again for print.
        assert style.count(f"--s{index}:") == 4


def test_ticks_that_would_touch_are_left_out_and_the_last_one_stays():
    budgets = (1, 10, 100, 250, 1000, 1986, 2000, 5000, 10000, 25600)
    drawn = str(curves([line("one", *((budget, 0.5) for budget in budgets))], "title"))
    places = [(float(x), text) for x, text in re.findall(r'class="tick" x="([\d.]+)" y="280"[^>]*>([^<]+)<', drawn)]
    assert places[-1][1] == "25600"
    assert all(after - before > 7 * len(text) for (before, _), (after, text) in pairwise(places))


def test_a_key_repeats_every_label_with_the_colour_of_its_line():
    drawn = str(curves([line("<one>", (1, 0.9), (8, 0.5)), line("two", (1, 0.9), (8, 0.4))], "title"))
    key = drawn.split('<ul class="key curves">')[1]
    found = re.findall(r'<li>.*?class="line (s\d)".*?class="mark (s\d)".*?</svg>(.*?)</li>', key)
    assert found == [("s0", "s0", "&lt;one&gt;"), ("s1", "s1", "two")]
