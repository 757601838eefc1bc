"""The site in a real browser, from a file: path."""

import csv

import pytest

from .conftest import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH and CHROMIUM is not set"),
]


def names(page):
    rows = page.locator("section.board:not([hidden]) tr.entry:not([hidden]) .c-name a.title")
    return [name.split("\n")[0] for name in rows.all_inner_texts()]


def test_it_opens_from_a_file_path_ranked_with_nothing_fetched_from_elsewhere(page, pretend_site):
    page.goto(pretend_site.as_uri())
    assert names(page) == ["Adversarial training", "Noise and vote", "Natural training", "Natural training"]


def test_a_column_head_sorts_and_sorts_back_while_unranked_entries_stay_apart(page, pretend_site):
    page.goto(pretend_site.as_uri())
    assert page.locator("th.c-worst").first.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Clean").first.click()
    assert names(page)[2] == "Adversarial training"
    assert page.locator("th.c-clean").first.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Clean").first.click()
    assert names(page)[0] == "Adversarial training"
    last = page.locator("section.board:not([hidden]) tr.entry").last
    assert last.locator(".badge.warn").first.inner_text() == "unofficial"


def test_the_keyboard_alone_reaches_and_sorts_a_column(page, pretend_site):
    page.goto(pretend_site.as_uri())
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.sort") == "name":
            break
    page.keyboard.press("Enter")
    assert page.locator("th.c-name[aria-sort]").first.get_attribute("aria-sort") == "ascending"
    assert names(page)[:3] == ["Adversarial training", "Natural training", "Noise and vote"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_first_tab_stop_skips_to_the_content(page, pretend_site):
    page.goto(pretend_site.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_filters_narrow_the_table_and_can_be_cleared(page, pretend_site):
    page.goto(pretend_site.as_uri())
    page.get_by_label("Find").fill("noise")
    assert names(page) == ["Noise and vote"]
    page.get_by_label("Find").fill("nothing like this")
    assert names(page) == []
    page.get_by_role("button", name="Clear the filters").first.click()
    page.get_by_label("Family").select_option("adversarial training")
    assert names(page) == ["Adversarial training"]
    page.get_by_label("Family").select_option("")
    page.get_by_label("unofficial runs").uncheck()
    assert len(names(page)) == 3


def test_the_address_keeps_tab_sort_and_filter(page, pretend_site):
    page.goto(pretend_site.as_uri())
    page.get_by_role("button", name="Flips").first.click()
    page.get_by_label("Find").fill("training")
    kept = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(kept)
    assert page.get_by_label("Find").input_value() == "training"
    assert page.locator("th.c-flips").first.get_attribute("aria-sort") == "ascending"
    assert names(page)[:2] == ["Adversarial training", "Natural training"]


def test_tabs_switch_the_data_set_by_mouse_and_arrow_key(page, pretend_site):
    page.goto(pretend_site.as_uri())
    assert page.get_by_role("tab").all_inner_texts() == ["Pretend films", "Pretend skin"]
    page.get_by_role("tab", name="Pretend skin").click()
    assert names(page) == ["Natural training"]
    page.keyboard.press("ArrowLeft")
    assert len(names(page)) == 4


def test_a_data_sets_card_leads_to_its_board(page, pretend_site):
    page.goto((pretend_site.parent / "datasets.html").as_uri())
    page.locator("#skin").get_by_role("link", name="leaderboard").click()
    assert page.locator("section.board:not([hidden])").get_attribute("data-dataset") == "skin"


def test_a_name_opens_the_entrys_page(page, pretend_site):
    page.goto(pretend_site.as_uri())
    page.get_by_role("link", name="Noise and vote").click()
    assert page.locator("h1").inner_text() == "Noise and vote"
    assert page.locator("#films table.matrix").count() == 3
    against_budget, against_queries = page.locator("#films svg.curves").all()
    assert "against the budget" in (against_budget.get_attribute("aria-label") or "")
    assert "against queries per image" in (against_queries.get_attribute("aria-label") or "")
    assert against_budget.is_visible()
    assert against_queries.is_visible()


def test_the_table_downloads_as_csv(page, pretend_site):
    page.goto(pretend_site.as_uri())
    page.get_by_label("Family").select_option("randomisation")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV of this table").click()
    with open(waiting.value.path(), encoding="utf-8") as file:  # noqa: PTH123
        lines = file.read().splitlines()
    assert waiting.value.suggested_filename == "medrobustbench-films.csv"
    assert lines[0].startswith('"submission_title","official","rank","rank_to","worst"')
    assert lines[1].startswith('"Noise and vote","true","2","2","0.500000"')
    assert len(lines) == 2
    (line,) = csv.DictReader(lines)
    assert (line["clean"], line["gray-box"], line["adaptive"]) == ("1.000000", "1.000000", "0.500000")


def test_the_records_file_downloads(page, pretend_site):
    page.goto((pretend_site.parent / "downloads.html").as_uri())
    with page.expect_download() as waiting:
        page.get_by_role("link", name="records.csv").click()
    assert waiting.value.suggested_filename == "records.csv"


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_dark_mode_follows_the_system_and_the_button_overrides_it(page, pretend_site):
    page.goto(pretend_site.as_uri())
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(18, 22, 28)"
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(paper) == "rgb(252, 252, 250)"
    page.reload()
    assert page.evaluate(paper) == "rgb(252, 252, 250)"


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_no_page_is_wider_than_a_phone(page, pretend_site):
    for one in sorted(pretend_site.parent.rglob("*.html")):
        page.goto(one.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, one.name


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 800}}], indirect=True)
def test_on_a_phone_curves_have_a_key_in_place_of_labels(page, pretend_site):
    page.goto((pretend_site.parent / "entries" / "natural.html").as_uri())
    assert page.locator(".key li").first.is_visible()
    assert not page.locator(".curves .label").first.is_visible()


def test_on_a_wide_screen_curves_have_labels_and_no_key(page, pretend_site):
    page.goto((pretend_site.parent / "entries" / "natural.html").as_uri())
    assert not page.locator(".key li").first.is_visible()
    assert page.locator(".curves .label").first.is_visible()


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 800}}], indirect=True)
def test_on_a_phone_the_clinical_table_keeps_its_names_in_sight(page, pretend_site):
    page.goto(pretend_site.as_uri())
    name = page.locator("section.board:not([hidden]) .clinical tbody th").first
    before = name.bounding_box()["x"]
    page.locator("section.board:not([hidden]) .scroll:has(.clinical)").evaluate("box => box.scrollTo(300, 0)")
    assert name.bounding_box()["x"] == pytest.approx(before, abs=1)


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_a_phone_sorts_by_a_list(page, pretend_site):
    page.goto(pretend_site.as_uri())
    page.get_by_label("Sort by").select_option("name desc")
    assert names(page)[:3] == ["Noise and vote", "Natural training", "Adversarial training"]


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_every_data_set_is_readable(page, pretend_site):
    page.goto(pretend_site.as_uri())
    assert page.locator("section.board").count() == 2
    assert page.locator("tr.entry").last.is_visible()
