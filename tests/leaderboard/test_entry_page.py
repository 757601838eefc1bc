"""The page of an entry: one data set at a time, example images, code, weights, upper bounds, print."""

import json
import os
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from benchmark.engine import examples as engine
from benchmark.errors import BenchError
from leaderboard.entries import entries_in
from leaderboard.site import build_site
from leaderboard.site import examples as shown

from .conftest import Pretend, Project, rows_of, with_gradients, write

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH and CHROMIUM is not set"),
]
A4_LANDSCAPE = 1032
"""Width in CSS pixels of an A4 page turned sideways, less its margins."""

TOLD = {
    "attack": "PGD",
    "eps_255": 8.0,
    "amplified": 10,
    "images": [
        {"sample_id": "00000", "label": 0, "pred_clean": 0, "pred": 1},
        {"sample_id": "00001", "label": 1, "pred_clean": 1, "pred": 1},
        {"sample_id": "00002", "label": 0, "pred_clean": 1, "pred": -1},
    ],
}


def add_examples(folder: Path, told: object = TOLD) -> None:
    """Write a sheet of three images beside the rows in a folder."""
    Image.new("RGB", (3 * 8, 3 * 8), "grey").save(folder / shown.SHEET)
    (folder / shown.WORDS).write_text(json.dumps(told), encoding="utf-8")


def text_of(site: Path, name: str = "entries/natural.html") -> str:
    return (site / name).read_text(encoding="utf-8")


def words_of(part: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", part)).split())


def section(page: str, anchor: str) -> str:
    return page.split(f'<section class="dataset" id="{anchor}"')[1].split("</section>")[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Folder of a site: an entry on two data sets, one with an unconfirmed licence, and a run of the reader's own."""
    folder = tmp_path_factory.mktemp("entry")
    project = Project(folder / "project")
    project.manifest("natural", "Natural training")
    project.manifest("cushion", "Cushion")
    manifest = project.root.submissions / "cushion" / "submission.toml"
    manifest.write_text(manifest.read_text().replace('file = "weights.safetensors"', 'entry = "natural"'))
    card = project.root.datasets / "skin" / "dataset.toml"
    card.write_text(card.read_text().replace('licence = "CC0"', 'licence = "CC0, not confirmed on its page"'))
    card.write_text(card.read_text().replace("Pretend skin", "Pretend skin: three diagnoses"))
    many = {"labels": (0, 1) * 30, "attacked": 60, "frames": 2}
    official = [
        Pretend("natural", **many, falls=with_gradients(range(50), 4.0)),
        Pretend("cushion", frames=2),
        Pretend("natural", dataset="skin", frames=2, tracks=("clean", "white-box")),
    ]
    write(folder / "official", rows_of(official))
    write(folder / "own", Pretend("natural", attacked=4, frames=2).rows())
    for place in (folder / "official" / "films" / "natural", folder / "own" / "films" / "natural"):
        add_examples(place)
    found = entries_in([folder / "official"], unofficial=[folder / "own"])
    return build_site(found, project.root, folder / "site").parent


def test_the_files_of_examples_are_those_that_the_engine_writes():
    assert (shown.SHEET, shown.WORDS) == (engine.PICTURE, engine.WORDS)


def test_examples_are_shown_by_name_with_what_the_attack_changed(made):
    part = section(text_of(made), "films").split("Example images</h3>")[1].split("</figure>")[0]
    rows = [[words_of(cell) for cell in re.split(r"</t[hd]>", row)[:-1]] for row in part.split("<tr")[1:]]
    by_name = {re.sub(r"^.*?>\s*", "", row[0]): row[1:] for row in rows}
    assert by_name["Image"] == ["00000", "00001", "00002"]
    assert by_name["Label"] == ["healthy", "<b>ill</b>", "healthy"]
    assert by_name["Prediction, clean"] == ["healthy correct", "<b>ill</b> correct", "<b>ill</b> misclassified"]
    attacked = ["<b>ill</b> misclassified", "<b>ill</b> correct", "abstained no prediction"]
    assert by_name["Prediction, under attack"] == attacked
    assert by_name["Prediction changed"] == ["yes", "no", "yes"]
    assert "Perturbation × 10" in by_name


def test_every_example_has_a_sheet_in_the_site_and_words_in_place_of_it(made):
    page = text_of(made)
    pictures = re.findall(r'<img src="\.\./([^"]+)"[^>]*alt="([^"]+)"', page)
    assert len(pictures) == 2 * 3 * 3
    assert len({words for _, words in pictures}) == 3 * 3
    assert {path for path, _ in pictures} == {
        "data/examples/natural-films.webp",
        "data/examples/natural-films-unofficial.webp",
    }
    assert all((made / path).is_file() for path, _ in pictures)


def test_a_data_set_with_an_unconfirmed_licence_has_no_examples_and_says_so(made):
    part = section(text_of(made), "skin")
    assert "No example images are shown, because the licence of this data set is not confirmed." in part
    assert "<img" not in part
    assert "These rows come without example images." in section(text_of(made, "entries/cushion.html"), "films")


def test_a_broken_description_of_examples_is_refused_with_its_path(tmp_path, project):
    write(tmp_path / "rows", Pretend("natural", tracks=("clean",)).rows())
    add_examples(tmp_path / "rows" / "films" / "natural", {"attack": "PGD"})
    with pytest.raises(BenchError, match=r"examples\.json does not describe example images"):
        build_site(entries_in([tmp_path / "rows"]), project.root, tmp_path / "site")


def test_only_a_folder_of_one_entry_holds_its_examples(tmp_path, project):
    rows = tmp_path / "rows" / "films" / "natural"
    write(tmp_path / "rows", Pretend("natural", tracks=("clean",)).rows())
    rows.rename(tmp_path / "rows" / "films" / "elsewhere")
    add_examples(tmp_path / "rows" / "films" / "elsewhere")
    build_site(entries_in([tmp_path / "rows"]), project.root, tmp_path / "site")
    assert "These rows come without example images." in text_of(tmp_path / "site")


def test_the_headline_figures_and_the_reasons_come_before_anything_else_of_a_data_set(made):
    part = section(text_of(made), "skin")
    head = part.split("<h3>")[0]
    assert "Worst-case robust accuracy at 8/255" in head
    assert "Reported, not ranked:" in head
    assert "Clean accuracy" in head


def test_data_sets_are_called_by_their_titles(made):
    page = text_of(made)
    nav = page.split('<nav class="sets"')[1].split("</nav>")[0]
    links = re.findall(r'href="#([^"]+)">([^<]+)<', nav)
    assert links == [
        ("films", "Pretend films"),
        ("skin", "Pretend skin"),
        ("films-unofficial", "Pretend films (unofficial)"),
    ]


def test_borrowed_weights_name_the_submission_that_they_belong_to(made):
    own, borrowed = (text_of(made, f"entries/{name}.html").split('id="weights"')[1] for name in ("natural", "cushion"))
    path = "<code>submissions/natural/weights.safetensors</code>"
    assert path in own.split("</table>")[0]
    assert "its own" in own.split("</table>")[0]
    assert path in borrowed.split("</table>")[0]
    assert 'borrowed from <a href="natural.html">natural</a>' in borrowed
    assert "b" * 64 in borrowed.split("</table>")[0]


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        ("", "<code>submissions/natural</code>"),
        (
            '[project.urls]\nRepository = "https://example.org/bench/"\n',
            '<a href="https://example.org/bench/tree/HEAD/submissions/natural"',
        ),
        ('[project.urls]\nRepository = "javascript:alert(1)"\n', "<code>submissions/natural</code>"),
    ],
)
def test_the_code_folder_is_linked_where_the_project_names_its_repository(tmp_path, project, filed, urls, told):
    project.manifest("natural", "Natural training")
    (project.root.path / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}')
    site = build_site(filed(Pretend("natural", tracks=("clean",))), project.root, tmp_path / "site").parent
    assert told in text_of(site)
    assert "javascript:" not in text_of(site)


def test_figures_below_the_largest_budget_are_marked_as_upper_bounds_and_those_that_rank_are_not(made):
    matrix = section(text_of(made), "films").split('<table class="matrix">')[1].split("</table>")[0]
    block = next(part for part in matrix.split("<tbody>") if "All tracks" in part)
    assert block.count("upper bound</span>") == 3
    cells = re.findall(r"<td[^>]*>(.*?)</td>", block.split('class="worst"')[1])
    assert ["≤" in cell for cell in cells] == [True, True, True, False]


def test_the_data_sets_and_the_downloads_mark_a_licence_that_is_not_confirmed(made):
    cards = text_of(made, "datasets.html")
    skin, films = (
        cards.split(f'<section class="card" id="{name}"')[1].split("</section>")[0] for name in ("skin", "films")
    )
    assert "licence not confirmed</span>" in skin
    assert "licence not confirmed" not in films
    lines = text_of(made, "downloads.html").split("<tr>")
    marked = [line for line in lines if "licence not confirmed" in line]
    assert len(marked) == 1
    assert "skin.parquet" in marked[0]
    assert "CC0, not confirmed on its page" in marked[0]


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


class TestInABrowser:
    pytestmark = in_browser

    @pytest.fixture
    def page(self, browser, request):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **getattr(request, "param", {})})
        opened = context.new_page()
        faults = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        yield opened
        context.close()
        assert not faults

    @staticmethod
    def shown(page):
        found = page.locator("section.dataset").all()
        return [one.get_attribute("id") for one in found if one.is_visible()]

    @pytest.mark.parametrize("name", ["films", "skin", "films-unofficial"])
    def test_an_address_shows_its_data_set_with_name_and_figures_on_the_first_screen(self, page, made, name):
        page.goto((made / "entries" / "natural.html").as_uri() + f"#{name}")
        page.wait_for_timeout(100)
        assert self.shown(page) == [name]
        assert page.locator(f'nav.sets a[href="#{name}"]').get_attribute("aria-current") == "true"
        assert page.evaluate("scrollY") == 0
        box = page.locator(f"#{name} .tiles").bounding_box()
        assert box["y"] + box["height"] < 800

    def test_without_a_data_set_in_the_address_the_first_is_shown_and_tabs_switch(self, page, made):
        page.goto((made / "entries" / "natural.html").as_uri())
        assert self.shown(page) == ["films"]
        page.get_by_role("navigation", name="Data sets of this entry").get_by_role("link", name="Pretend skin").click()
        assert self.shown(page) == ["skin"]
        page.get_by_role("link", name="Weights").click()
        assert self.shown(page) == ["skin"]
        page.go_back()
        page.go_back()
        assert self.shown(page) == ["films"]

    @pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
    def test_without_scripts_every_data_set_is_readable(self, page, made):
        page.goto((made / "entries" / "natural.html").as_uri())
        assert self.shown(page) == ["films", "skin", "films-unofficial"]

    def test_a_tile_of_the_sheet_is_cropped_to_one_image(self, page, made):
        page.goto((made / "entries" / "natural.html").as_uri())
        crop, image = page.locator(".crop").nth(4), page.locator(".crop img").nth(4)
        tile, sheet = crop.bounding_box(), image.bounding_box()
        assert sheet["width"] == pytest.approx(3 * tile["width"], abs=1)
        assert tile["x"] - sheet["x"] == pytest.approx(tile["width"], abs=1)
        assert tile["y"] - sheet["y"] == pytest.approx(tile["height"], abs=1)

    @pytest.mark.parametrize("page", [{"viewport": {"width": A4_LANDSCAPE, "height": 700}}], indirect=True)
    def test_no_table_is_wider_than_a_printed_page_and_none_is_cut_off(self, page, made):
        page.emulate_media(media="print")
        for name in ("films", "skin"):
            page.goto((made / "entries" / "natural.html").as_uri() + f"#{name}")
            assert page.evaluate("document.documentElement.scrollWidth") <= A4_LANDSCAPE
            tables = page.locator(f"#{name} table, #about table").all()
            assert tables
            for table in tables:
                box = table.bounding_box()
                assert box["x"] + box["width"] <= A4_LANDSCAPE, table.get_attribute("class")
            assert (
                page.locator(f"#{name} .scroll").first.evaluate("box => getComputedStyle(box).overflowX") == "visible"
            )
        head = page.locator("#skin .matrix .block").first.locator("th", has_text="8/255").bounding_box()
        assert head["x"] + head["width"] <= A4_LANDSCAPE
