"""The curves of an entry's page."""

import re

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


def test_a_line_that_ends_elsewhere_has_its_label_at_its_end():
    alone = heights(line("far", (1, 0.9), (13, 0.5)))["far"]
    crowd = [line(name, (1, 0.9), (8, 0.5)) for name in ("a", "b", "c")]
    assert heights(*crowd, line("far", (1, 0.9), (13, 0.5)))["far"] == alone
