"""The pages of published numbers, without and in a real browser."""

import os
import re
import shutil

import pytest

from leaderboard.site import build_site

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
THEIRS = 'class="theirs"'
in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH and CHROMIUM is not set"),
]


@pytest.fixture
def page():
    """A page that fails the test on any script error and on any request that is not for a local file."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        made = chromium.new_page(viewport={"width": 390, "height": 800})
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        made.on("request", lambda asked: None if asked.url.startswith("file:") else faults.append(asked.url))
        yield made
        chromium.close()
        assert not faults


def read(site, name="published/films.html"):
    return (site.parent / name).read_text(encoding="utf-8")


def test_every_board_and_entry_links_to_the_published_numbers(pretend_site):
    assert 'href="published.html"' in read(pretend_site, "index.html")
    assert 'href="../published/films.html#natural-films"' in read(pretend_site, "entries/natural.html")


def test_an_entry_without_its_own_published_defense_has_one_sentence_and_no_numbers(pretend_site):
    place = read(pretend_site).split('id="robust-films"')[1].split("</li>")[0]
    assert "No paper in the table prints this defense; " in place
    assert "bench compare --published --family" in place
    assert "<td" not in place


def test_no_number_of_another_defense_is_shown(pretend_site):
    assert "another defense of the same family" not in read(pretend_site)


def test_an_entry_page_links_to_the_sentence_where_there_are_no_numbers(pretend_site):
    link = (
        read(pretend_site, "entries/robust.html")
        .split('href="../published/films.html#robust-films"')[1]
        .split("</a>")[0]
    )
    assert "Why there is no published number beside these" in link


def test_an_entry_whose_published_numbers_are_set_aside_is_told_so(tmp_path, project, filed, pretend):
    project.manifest("maadvt", "Several attacks at once", "adversarial training")
    text = read(build_site(filed(pretend("maadvt", frames=2)), project.root, tmp_path / "site"))
    place = text.split('id="maadvt-films"')[1].split("</li>")[0]
    assert "No paper in the table prints" not in place
    assert "Papers print this very defense, but its numbers are set aside: its budget is measured on norm" in place


def test_accuracy_stands_under_balanced_accuracy_and_what_one_answer_would_score(pretend_site):
    section = read(pretend_site).split('id="natural-films"')[1].split("</section>")[0]
    before = section.split("<details")[0]
    assert "balanced accuracy 100.0 % (100.0 to 100.0); always predicting one class would score 50.0 %." in before


def test_a_constant_predictor_is_marked_beside_papers_numbers_and_an_honest_entry_is_not(
    tmp_path, project, filed, pretend
):
    blind = pretend("natural", frames=2, wrong_clean=frozenset({0, 2, 4, 6, 8, 10}))
    text = read(build_site(filed(blind, pretend("pgd_at", frames=2)), project.root, tmp_path / "site"))
    parts = {name: text.split(f'id="{name}-films"')[1].split("<details")[0] for name in ("natural", "pgd_at")}
    assert '<p class="note mark">Predicts &#39;&lt;b&gt;ill&lt;/b&gt;&#39; on every image' in parts["natural"]
    assert "Clean accuracy 100.0 %" in parts["pgd_at"]
    assert "note mark" not in parts["pgd_at"]


def test_unofficial_runs_are_marked(pretend_site):
    section = read(pretend_site).split('id="natural-films-unofficial"')[1].split("</section>")[0]
    assert "unofficial" in section.split("</h2>")[0]


def test_reasons_for_setting_numbers_aside_are_listed_with_their_count(pretend_site):
    sources = read(pretend_site, "published.html").split('id="sources"')[1]
    assert "its budget is measured on normalised input" in sources
    assert sources.count("<cite>") == 4


def test_the_index_leads_to_a_page_per_data_set_with_its_count_of_numbers_beside_official_entries(pretend_site):
    index = read(pretend_site, "published.html")
    for dataset in ("films", "skin"):
        line = index.split(f'href="published/{dataset}.html"')[1].split("</tr>")[0]
        sections = read(pretend_site, f"published/{dataset}.html").split("<section")
        official = [one for one in sections if "-unofficial" not in one.partition(">")[0]]
        assert f"<td>{sum(one.count(THEIRS) for one in official)}</td>" in line


def test_each_thing_that_differs_is_said_once_per_experiment_under_a_letter(pretend_site):
    section = read(pretend_site).split('id="natural-films"')[1].split("</section>")[0]
    for experiment in section.split("<details")[1:]:
        notes = re.findall(r"<li><sup>(\w+)</sup> (.*?)</li>", experiment)
        assert len({letter for letter, _ in notes}) == len({words for _, words in notes}) == len(notes)
        used = {letter for found in re.findall(r"<sup>([\w ]+)</sup>", experiment) for letter in found.split()}
        assert used == {letter for letter, _ in notes}


def test_every_published_number_of_a_pair_has_its_place_in_a_table(pretend_site):
    titles = re.findall(r"<summary>.*?<span class=\"sub\">(\d+) number", read(pretend_site))
    assert sum(map(int, titles)) == read(pretend_site).count(THEIRS) > 0


def test_the_whole_table_can_be_downloaded(pretend_site):
    assert (pretend_site.parent / "data" / "published.csv").read_text(encoding="utf-8").startswith("source,title")
    assert "published.csv" in read(pretend_site, "downloads.html")


def test_a_board_without_counterparts_says_so_entry_by_entry(tmp_path, project, filed, pretend):
    project.manifest("odd", "An odd one", "other")
    site = build_site(filed(pretend("odd", frames=2)), project.root, tmp_path / "site")
    assert "No paper in the table prints this defense, nor another" in read(site).split('id="odd-films"')[1]


def test_a_site_without_results_says_how_to_get_some(tmp_path, project):
    site = build_site([], project.root, tmp_path / "site")
    assert "There are no results yet." in read(site, "published.html")


class TestInABrowser:
    pytestmark = in_browser

    def test_the_board_leads_to_the_page_and_an_experiment_opens_at_a_click(self, page, pretend_site):
        page.goto(pretend_site.as_uri())
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Published numbers").click()
        page.get_by_role("link", name="Pretend films").click()
        section = page.locator("section#natural-films")
        closed = section.locator("details:not([open])").first
        summary = closed.locator("summary").inner_text()
        closed.locator("summary").click()
        opened = section.locator("details", has_text=summary.split("\n")[0]).locator("td.theirs").first
        assert opened.is_visible()

    def test_a_phone_scrolls_the_tables_and_never_the_page(self, page, pretend_site):
        for name in ("published.html", "published/films.html"):
            page.goto((pretend_site.parent / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390

    def test_filters_leave_the_numbers_of_one_entry_attack_paper_and_model(self, page, pretend_site):
        page.goto((pretend_site.parent / "published" / "films.html").as_uri())
        form = page.locator("#published-filter")
        total = page.locator("td.theirs").count()
        assert form.locator(".count").inner_text() == f"{total} of {total} numbers"
        form.get_by_label("Entry").select_option("natural-films-unofficial")
        assert not page.locator("section#natural-films").is_visible()
        assert page.locator("section#natural-films-unofficial").is_visible()
        form.get_by_label("Attack").select_option("fgsm")
        shown = page.locator("section.published tbody tr:visible")
        assert shown.count() > 0
        assert {row.get_attribute("data-attack") for row in shown.all()} == {"fgsm"}
        form.get_by_label("Paper").select_option("Survey")
        titles = page.locator("section.published summary:visible").all_inner_texts()
        assert titles
        assert all(title.startswith("Survey (2024)") for title in titles)
        form.get_by_label("Find").fill("no such model")
        assert page.get_by_text("No published number matches.").is_visible()

    def test_an_address_of_an_entry_leads_to_its_place_below_the_filters(self, page, pretend_site):
        page.goto((pretend_site.parent / "published" / "films.html").as_uri() + "#natural-films-unofficial")
        page.wait_for_timeout(100)
        assert page.locator("section#natural-films-unofficial h2").bounding_box()["y"] < 800
