"""The board in a real browser: how much of it the first view holds, what it says first, and how it prints."""

import re
from pathlib import Path

import pytest

from leaderboard.entries import entries_in
from leaderboard.site import build_site

from .conftest import CHROMIUM, Pretend, Project, rows_of, with_gradients, write

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH and CHROMIUM is not set"),
]

ENTRIES = 14
LONG = "Salt-and-pepper noise, a median filter and a vote over up to ten thousand copies before the classifier"
OPEN = "section.board:not([hidden])"
WITHIN_VIEW = f"""() => [...document.querySelectorAll("{OPEN} tr.entry")]
    .filter((row) => row.getBoundingClientRect().bottom <= innerHeight).length"""
BEYOND = """(width) => [...document.querySelectorAll("body *")]
    .filter((one) => getComputedStyle(one).position !== "absolute" && one.getBoundingClientRect().right > width + 1)
    .map((one) => one.outerHTML.slice(0, 80))"""
PHONE = {"viewport": {"width": 390, "height": 844}}
LAPTOP = {"viewport": {"width": 1280, "height": 800}}
A4_LANDSCAPE = {"viewport": {"width": 1047, "height": 718}}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """First page of a site with many entries, each broken on one image more than the one before; and a gap."""
    folder = tmp_path_factory.mktemp("full")
    project = Project(folder / "project")
    project.manifest("natural", "Natural training", "none")
    small = {"labels": (0, 1) * 15, "attacked": 30, "frames": 2, "corrupted": 1}
    members: list[Pretend] = [Pretend("natural", **small, falls=with_gradients(range(30), 4.0))]
    for i in range(ENTRIES - 1):
        project.manifest(f"entry{i}", LONG if i == 5 else f"Defense number {i}", "adversarial training")
        wrong = frozenset(range(29, 29 - i % 4, -1))
        members.append(
            Pretend(f"entry{i}", **small, descend=True, wrong_clean=wrong, falls=with_gradients(range(2 * i), 8.0))
        )
    project.manifest("holed", "Without a track", "other")
    few = tuple(track for track in Pretend("x").tracks if track != "gray-box")
    members.append(Pretend("holed", **small, tracks=few))
    write(folder / "rows", rows_of(members))
    return build_site(entries_in([folder / "rows"]), project.root, folder / "site")


def texts(page, selector):
    return page.locator(f"{OPEN} {selector}").all_inner_texts()


@pytest.mark.parametrize("page", [LAPTOP], indirect=True)
def test_the_first_view_of_a_laptop_holds_twelve_entries_and_the_scatter(page, full):
    page.goto(full.as_uri())
    assert page.evaluate(WITHIN_VIEW) >= 12
    chart = page.locator(f"{OPEN} svg.scatter").bounding_box()
    assert chart["y"] + chart["height"] < page.locator(f"{OPEN} table.leader").bounding_box()["y"]


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_the_first_view_of_a_phone_holds_five_entries(page, full):
    page.goto(full.as_uri())
    assert page.evaluate(WITHIN_VIEW) >= 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_takeaway_names_the_best_what_is_alike_and_the_natural_baseline(page, full):
    page.goto(full.as_uri())
    (told,) = texts(page, ".takeaway")
    assert told.startswith("Best worst case at 8/255: Defense number 0, 100.0 % (at least 90.0).")
    ranges = [text.split("–") for text in texts(page, "tbody[data-group=ranked] .rank")]
    alike = int(ranges[0][-1]) - int(ranges[0][0])
    assert re.search(rf"\b{alike} other entr(ies show|y shows) no significant difference from it", told)
    assert told.endswith("Without a defense: 0.0 % (at most 10.0).")


def test_the_scatter_has_a_point_an_entry_with_both_figures_and_marks_the_pareto_front(page, full):
    page.goto(full.as_uri())
    rows = page.locator(f"{OPEN} tr.entry")
    figures = {}
    for row in rows.all():
        clean, worst = (row.locator(f".c-{name}").get_attribute("data-value") for name in ("clean", "worst"))
        if clean and worst:
            figures[row.get_attribute("data-entry")] = (float(clean), float(worst), row.locator(".rank").count() > 0)
    drawn = {one.get_attribute("data-entry"): one for one in page.locator(f"{OPEN} .scatter .point").all()}
    assert set(drawn) == set(figures)
    ranked = {name: pair[:2] for name, pair in figures.items() if pair[2]}
    front = {
        name
        for name, (x, y) in ranked.items()
        if not any(pair != (x, y) and pair[0] >= x and pair[1] >= y for pair in ranked.values())
    }
    assert {name for name, one in drawn.items() if "best" in one.get_attribute("class").split()} == front
    assert page.locator(f"{OPEN} .scatter .front").count() == 1
    assert "Defense number 3: clean" in drawn["entry3"].inner_html()


def test_a_row_under_the_pointer_lights_up_its_point(page, full):
    page.goto(full.as_uri())
    page.locator(f"{OPEN} tr.entry[data-entry=entry2] .c-clean").hover()
    assert page.locator(f"{OPEN} .point.lit").get_attribute("data-entry") == "entry2"


def test_every_badge_has_a_title_and_a_line_of_the_legend_and_reasons_stand_on_the_entrys_page(page, full):
    page.goto(full.as_uri())
    badges = page.locator(f"{OPEN} table.leader .badge")
    assert badges.count() > 0
    assert all(badge.get_attribute("title") for badge in badges.all())
    assert set(badges.all_inner_texts()) == set(texts(page, ".legend dt .badge"))
    why = page.locator(f"{OPEN} tr.entry[data-entry=holed] .badge", has_text="incomplete").get_attribute("title")
    assert "track gray-box is missing" in why.lower()
    page.get_by_role("link", name="Without a track").click()
    assert "track gray-box is missing" in page.locator("main").inner_text()


def test_none_of_n_and_all_of_n_show_their_one_sided_bound(page, full):
    page.goto(full.as_uri())
    cell = page.locator(f"{OPEN} tr.entry[data-entry=natural] .c-worst")
    assert re.split(r"\s+", cell.inner_text().strip()) == ["0.0", "≤10.0"]
    assert page.locator(f"{OPEN} tr.entry[data-entry=entry0] .c-worst .span").inner_text() == "≥90.0"
    bar = cell.locator(".interval")
    assert float(bar.get_attribute("x2")) - float(bar.get_attribute("x1")) == pytest.approx(0.1 * 124, abs=0.2)


def test_a_figure_below_the_budget_that_ranks_is_marked_as_a_bound_and_no_other(page, full):
    page.goto(full.as_uri())
    assert page.locator(f"{OPEN} .leader .bound").count() == 0
    page.goto((full.parent / "entries" / "entry3.html").as_uri())
    marked = page.locator("table.matrix .bound")
    assert marked.count() > 0
    assert marked.first.get_attribute("title") == "upper bound"
    last = page.locator("table.matrix").first.locator("tr.worst").first.locator("td").last
    assert last.locator(".bound").count() == 0


def test_ranks_are_explained_above_the_table_and_ranges_sort_by_their_first_rank(page, full):
    page.goto(full.as_uri())
    note, table = page.locator(f"{OPEN} .ranknote"), page.locator(f"{OPEN} table.leader")
    assert note.bounding_box()["y"] < table.bounding_box()["y"]
    page.get_by_role("button", name="Rank", exact=True).first.click()
    first = [int(text.split("–")[0]) for text in texts(page, "tbody[data-group=ranked] .rank")]
    assert first == sorted(first)


@pytest.mark.parametrize("page", [A4_LANDSCAPE, {**A4_LANDSCAPE, "color_scheme": "dark"}], indirect=True)
def test_every_page_prints_on_a4_landscape_without_clipping(page, full):
    page.emulate_media(media="print")
    for one in sorted(full.parent.rglob("*.html")):
        page.goto(one.as_uri())
        assert page.evaluate(BEYOND, 1047) == [], one.name
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.goto(full.as_uri())
    clipped = """() => [...document.querySelectorAll("table.leader td, table.leader th")]
        .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText)"""
    assert page.evaluate(clipped) == []


COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
"""All that a theme can change for axe."""

NO_COLOURS = {"rules": {"color-contrast": {"enabled": False}}}
"""All but the slowest rule, for a phone: its colours are those of a laptop."""


def violations(page, **options) -> list[tuple[str, str]]:
    # Without preload: from a file, scripts may not read style sheets.
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    found = axe.run(page, options={"preload": False, "resultTypes": ["violations"], **options}).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("page", [{**LAPTOP, "color_scheme": "dark"}], indirect=True)
def test_axe_finds_enough_contrast_on_every_page_in_the_dark_theme(page, pretend_site):
    for one in sorted(Path(pretend_site).parent.rglob("*.html")):
        page.goto(one.as_uri())
        assert violations(page, **COLOURS) == [], one.name


@pytest.mark.parametrize("page", [LAPTOP, PHONE], indirect=True, ids=["laptop", "phone"])
def test_axe_finds_nothing_on_any_page(page, pretend_site, request):
    options = NO_COLOURS if "phone" in request.node.name else {}
    for one in sorted(Path(pretend_site).parent.rglob("*.html")):
        page.goto(one.as_uri())
        page.evaluate('for (const one of document.querySelectorAll("details")) one.open = true')
        assert violations(page, **options) == [], one.name
    page.goto(pretend_site.as_uri() + "#dataset=skin")
    assert violations(page) == []
