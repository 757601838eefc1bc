"""The written pages and downloads, without a browser."""

import csv
import html
import json
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from benchmark.data.card import all_cards
from benchmark.errors import BenchError
from benchmark.matrix import load_matrix
from benchmark.matrix.markdown import UNDECIDED, UNMET
from leaderboard.entries import entries, entries_in
from leaderboard.metrics import headline, records_of
from leaderboard.rows import read_rows
from leaderboard.site import build_site
from leaderboard.site.tracks import TRACK_TEXT

from .conftest import Pretend, Project, gap, holed, only, write

SOURCE = Path(__file__).resolve().parents[2]


class Links(HTMLParser):
    """Collects what a page loads, links to, and can be linked at."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag in ("script", "img", "iframe") and "src" in found:
            self.loads.append(found["src"])
        if tag == "link":
            self.loads.append(found["href"])
        if tag == "a":
            self.links.append(found["href"])


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def group(page: str, name: str) -> str:
    """The table body of the ranked or unranked entries; empty when there is none."""
    found = re.search(rf'<tbody data-group="{name}">(.*?)</tbody>', page, re.DOTALL)
    return found.group(1) if found else ""


class Boards(HTMLParser):
    """Collects the words and names of the first board's column heads, and of the column of each entry's figures."""

    def __init__(self, text):
        super().__init__()
        self.heads, self.columns, self.entries, self._in_head = [], [], [], False
        self.feed(text[text.index('<table class="leader">') : text.index("</table>")])

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "button":
            self.heads.append("")
        if found.get("class") == "entry":
            self.entries.append([])
        column = found.get("class", "").removeprefix("c-")
        if tag == "th" and not self.entries:
            self.columns.append(column)
        if tag in ("td", "th") and self.entries and "data-value" in found:
            self.entries[-1].append(column)
        self._in_head = tag == "button"

    def handle_data(self, data):
        if self._in_head:
            self.heads[-1] += data


@pytest.fixture
def small(pretend):
    """An entry with a short corruption track."""
    return lambda name, **more: pretend(name, **{"frames": 2, **more})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of a site with one entry on one data set, for tests that look at pages which are alike on every board."""
    folder = tmp_path_factory.mktemp("plain")
    write(folder / "rows", Pretend("natural", frames=2).rows())
    return build_site(entries_in([folder / "rows"]), Project(folder / "project").root, folder / "site").parent


def test_every_link_and_every_loaded_file_exists_and_none_is_outside(tmp_path, project, filed, small):
    project.manifest("natural", "Natural training")
    first = build_site(filed(small("natural"), small("other", dataset="skin")), project.root, tmp_path / "site")
    for page in first.parent.rglob("*.html"):
        links = Links(text_of(page))
        assert len(links.ids) == len(set(links.ids)), page
        for target in links.loads:
            assert target == "data:," or (page.parent / target).is_file(), (page, target)
        for target in links.links:
            if target.startswith("https://example.org"):
                continue
            name, _, anchor = target.partition("#")
            other = page.parent / name if name else page
            assert other.is_file(), (page, target)
            assert not anchor or anchor in Links(text_of(other)).ids, (page, target)


def test_every_figure_of_the_board_stands_under_its_head(tmp_path, project, filed, small):
    first = build_site(filed(small("natural"), small("other", tracks=("clean",))), project.root, tmp_path / "site")
    board = Boards(text_of(first))
    assert board.entries == [board.columns] * 2
    tracks = [TRACK_TEXT[track][0] for track in load_matrix()[0].attack_tracks]
    assert board.heads[4:-3] == tracks
    assert board.heads[-3:] == ["Corrupted", "Flips ↓", "Cost ↓"]


def test_an_entry_that_votes_shows_its_copies_on_every_track_and_no_other_entry_does(tmp_path, project, filed, small):
    rows = small("voting").rows()
    for one in rows:
        if one["track"] == "corruption":
            one.update(copies_taken=[16, 16], scores=[1.5, 1.5])
        else:
            one.update(copies=250 if one["track"] == "adaptive" else 16, score=1.5)
    first = build_site(filed(rows, small("natural")), project.root, tmp_path / "site")
    page = text_of(first.parent / "entries" / "voting.html")
    votes = page[page.index('<table class="plain-table votes">') :].partition("</table>")[0]
    told = re.findall(r'scope="row">([^<]+)</th><td><span class="figure">(\d+)</span>', votes)
    assert dict(told) == {
        TRACK_TEXT[track][0]: "250" if track == "adaptive" else "16" for track in TRACK_TEXT if track != "all"
    }
    assert "Predictions with 250 copies, %" in votes
    assert '<th scope="row">none</th>' not in page
    assert "Random copies" not in text_of(first.parent / "entries" / "natural.html")


def test_a_title_with_a_script_is_escaped_on_every_page(tmp_path, project, filed, small):
    project.manifest("evil", "<script>alert(1)</script>", url="javascript:alert(2)")
    first = build_site(filed(small("evil")), project.root, tmp_path / "site")
    pages = [text_of(page) for page in first.parent.rglob("*.html")]
    assert not any("<script>alert" in page or "<b>ill</b>" in page for page in pages)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text_of(first)
    assert not any('href="javascript:' in page for page in pages)


def test_a_fresh_run_stands_beside_the_official_one_unranked_whatever_it_says(tmp_path, project, filed, small):
    first = build_site(filed(small("natural"), own=[small("natural")]), project.root, tmp_path / "site")
    page = text_of(first)
    assert "unofficial" not in group(page, "ranked")
    assert group(page, "unranked").count(">unofficial</span>") == 1
    entry = text_of(first.parent / "entries" / "natural.html")
    assert 'id="films"' in entry
    assert 'id="films-unofficial"' in entry


def test_an_entry_with_a_gap_is_shown_with_its_reason_and_not_ranked(tmp_path, project, filed, small):
    rows = holed(small("holed").rows(), "no gradient", attack="fgsm", sample_id="00001")
    page = text_of(build_site(filed(rows, small("natural")), project.root, tmp_path / "site"))
    assert "holed" not in group(page, "ranked")
    badge = re.search(r'<span class="badge warn" title="([^"]+)">incomplete<', group(page, "unranked")).group(1)
    assert badge.startswith("Not ranked: Gap in white-box fgsm on 1 image (no gradient)")
    entry = text_of(tmp_path / "site" / "entries" / "holed.html")
    assert "gap in white-box fgsm on 1 image (no gradient)" in entry


def test_the_data_set_with_the_most_ranked_entries_comes_first(tmp_path, project, filed, small):
    entries = [small("natural"), small("other"), small("natural", dataset="abc")]
    page = text_of(build_site(filed(*entries), project.root, tmp_path / "site"))
    assert page.index('id="board-films"') < page.index('id="board-abc"')


@pytest.fixture
def recomputed(tmp_path, project, filed):
    """What the script that the site ships prints of some entries: name -> (number, images)."""

    def run(*members):
        site = build_site(filed(*members), project.root, tmp_path / "site").parent
        command = [sys.executable, str(site / "assets" / "recompute.py"), str(site / "data" / "films.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {name: (float(number), int(n)) for name, number, n in csv.reader(done.stdout.splitlines())}

    return run


FALLS = {("white-box", "fgsm", 1): 2.0, ("adaptive", "apgd-ce", 2): 8.0, ("no-box", "cw-linf", 3): 8.0}


def test_the_recompute_script_gives_the_number_that_ranks(recomputed, filed, small):
    """With a stochastic entry, images wrong clean and skipped work."""
    vote = small("vote", falls=FALLS, wrong_clean=frozenset({4})).rows()
    for one in vote:
        one.update(draws=5, right_draws=4 if one["correct"] else 2)
    members = vote, small("plain", falls=FALLS, skip=False)
    printed, found = recomputed(*members), records_of(filed(*members))
    for name, wanted in (("vote", 0.56), ("plain", 0.7)):
        assert headline(found, name, "films").value == pytest.approx(wanted)
        assert printed[name] == (pytest.approx(wanted), 10)


def test_the_recompute_script_counts_no_missing_verdict_as_robust(recomputed, small):
    """The board has no number for such an entry; the script, which knows no reasons, gives a bound from below."""
    gaps = holed(small("holed", falls=FALLS, wrong_clean=frozenset({9})).rows(), attack="square", sample_id="00000")
    crashed = [one for one in small("crashed").rows() if one["sample_id"] != "00005"]
    empty = {"track": "adaptive", "attack": "none", "norm": "", "eps_255": None, "sample_id": "00005"}
    crashed.append(gap(only(crashed, "adaptive")[-1]) | empty)
    printed = recomputed(gaps, crashed)
    assert printed == {"holed": (pytest.approx(0.5), 10), "crashed": (pytest.approx(0.9), 10)}


def test_the_page_shows_the_recompute_script_that_it_ships(site):
    shown = re.search(r'<pre id="snippet"[^>]*>(.*?)</pre>', text_of(site / "read.html"), re.DOTALL).group(1)
    for wrong, right in (("&#34;", '"'), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(wrong, right)
    assert shown == (site / "assets" / "recompute.py").read_text().strip()


def test_downloads_hold_every_row_and_every_record(tmp_path, project, filed, small):
    members = small("natural"), small("other")
    site = build_site(filed(*members), project.root, tmp_path / "site").parent
    assert len(read_rows([site / "data" / "films.parquet"])) == sum(len(member.rows()) for member in members)
    found = records_of(filed(*members))
    assert len(pd.read_csv(site / "data" / "records.csv")) == len(found)
    told = json.loads((site / "data" / "records.json").read_text())
    assert told[0] == {**told[0], "submission": "natural", "metric": "accuracy", "value": 1.0, "n": 12}


def test_unofficial_downloads_are_files_of_their_own(tmp_path, project, filed, small):
    site = build_site(filed(small("natural"), own=[small("mine")]), project.root, tmp_path / "site").parent
    assert set(pd.read_csv(site / "data" / "records.csv")["submission"]) == {"natural"}
    assert set(pd.read_csv(site / "data" / "records-unofficial.csv")["submission"]) == {"mine"}
    assert set(read_rows([site / "data" / "films-unofficial.parquet"])["submission"]) == {"mine"}


def test_an_entrys_page_shows_provenance_claims_and_sensitivities(tmp_path, project, filed, small):
    project.manifest("natural", "Natural training")
    falls = {("white-box", "pgd-20", 1): 8.0}
    site = build_site(filed(small("natural", falls=falls, skip=False)), project.root, tmp_path / "site").parent
    page = text_of(site / "entries" / "natural.html")
    for wanted in ("b" * 64, "a" * 64, "c" * 40, "@article{author2020", "71.7 %", "healthy", "gaussian blur"):
        assert wanted in page, wanted
    claim = re.search(r"71\.7 %</td><td>.*?>(\d+\.\d)<", page, re.DOTALL)
    assert claim.group(1) == "90.0"


def test_an_entry_without_a_manifest_still_has_a_page(tmp_path, project, filed, small):
    site = build_site(filed(small("stranger")), project.root, tmp_path / "site").parent
    assert "no manifest" in text_of(site / "entries" / "stranger.html")


def test_the_matrix_page_lists_every_cell_with_version_and_hash(site):
    page = text_of(site / "matrix.html")
    matrix, digest = load_matrix()
    assert digest in page
    assert all(page.count(f'<th scope="row">{cell.name}') >= 1 for cell in matrix.cell)


def test_the_matrix_page_marks_the_cells_that_changed_no_worst_case(tmp_path, project, filed, small):
    rows = small("natural", falls={("white-box", "fgsm", 0): 4.0})
    matrix, digest = load_matrix()
    entries = filed(rows)
    site = build_site(entries, project.root, tmp_path / "site", matrix=(matrix, "a" * 64)).parent
    counted = [cell for cell in matrix.cell if not cell.unranked]
    page = text_of(site / "matrix.html")
    assert page.count(UNDECIDED) + page.count(UNMET) == len(counted) - 1
    assert page.count(f"{UNMET} (needs a detector)") == sum(cell.needs == "detector" for cell in counted)
    assert digest != "a" * 64
    unmarked = build_site(entries, project.root, tmp_path / "other", matrix=(matrix, digest)).parent
    assert not [mark for mark in (UNDECIDED, UNMET) if mark in text_of(unmarked / "matrix.html")]


def test_the_data_set_page_lists_every_card(site):
    page = text_of(site / "datasets.html")
    assert "Pretend films" in page
    assert "Pretend skin" in page


def words_of(page: Path) -> str:
    """The text of a page as a reader sees it, without its scripts."""
    plain = re.sub(r"<(script|style).*?</\1>|<[^>]+>", "", text_of(page), flags=re.DOTALL)
    return " ".join(html.unescape(plain).split())


def test_the_rank_is_told_by_the_entries_wholly_above_and_never_as_a_tie(site):
    page = text_of(site / "index.html")
    told = re.search(r'<th scope="col" class="c-rank".*?title="([^"]+)"', page).group(1)
    assert "1 + the number of entries that are significantly better" in told
    note = page.index("best and worst rank that the paired 95 % intervals allow")
    assert note < page.index('<table class="leader">')
    assert "tell apart" not in page


def test_how_to_read_says_that_intervals_are_not_corrected_for_many_pairs(site):
    assert "not corrected for the many pairs" in words_of(site / "read.html")


@pytest.mark.parametrize("name", ["read.html", "matrix.html"])
def test_what_a_randomised_defense_skips_is_named_as_the_matrix_has_it(site, name):
    told = words_of(site / name).split("A defense that draws random numbers skips ")[1].split("somewhat weaker")[0]
    skipped, fewer = told.split(" instead; it is given a smaller query budget: ")
    cells = load_matrix()[0].cell
    assert all(cell.name in skipped for cell in cells if cell.when != "always")
    assert not any(cell.name in skipped for cell in cells if cell.method in ("rays", "spsa"))
    assert "1,000 instead of 5,000 by square, 400 instead of 2,000 by rays, 600 instead of 25,600 by spsa" in fewer


def test_the_badge_of_a_randomised_defense_leads_to_what_it_skips(tmp_path, project, filed, small):
    project.manifest("vote", "Noise and vote")
    manifest = project.root.submissions / "vote" / "submission.toml"
    manifest.write_text(manifest.read_text().replace("revision = 1", "revision = 1\nstochastic = true"))
    site = build_site(filed(small("vote")), project.root, tmp_path / "site").parent
    badge = re.search(r'<a class="badge " href="([^"]+)"[^>]*>stochastic</a>', text_of(site / "index.html")).group(1)
    assert badge == "read.html#randomised"
    assert 'href="../read.html#randomised"' in text_of(site / "entries" / "vote.html")


def test_every_page_says_that_a_rank_is_no_clearance_and_how_small_the_images_are(tmp_path, project, filed, small):
    site = build_site(filed(small("natural"), small("one", dataset="skin")), project.root, tmp_path / "site").parent
    sizes = sorted(card.size for card in all_cards(project.root.datasets).values())
    for page in site.rglob("*.html"):
        told = words_of(page).split("A research benchmark on small images (")[-1]
        assert told.startswith(f"{sizes[0]}×{sizes[0]}"), page
        assert "a rank on it is no clearance for clinical use" in told, page


def test_no_page_claims_an_interval_for_every_number(site):
    assert not [page for page in site.rglob("*.html") if "Every number is computed" in words_of(page)]


def test_an_entrys_page_tells_unranked_lines_from_those_that_hold_earlier_falls(tmp_path, project, filed, small):
    rows = small("natural").rows()
    for one in rows:
        one["unranked"] = (one["track"], one["attack"]) == ("white-box", "fgsm")
    site = build_site(filed(rows), project.root, tmp_path / "site").parent
    page = text_of(site / "entries" / "natural.html")
    before, _, after = page.partition("Reported, not ranked: its own misclassifications alone")
    assert '<th scope="row">pgd-20</th>' in before
    assert '<th scope="row">fgsm</th>' not in before
    assert '<th scope="row">fgsm</th>' in after.split("</tbody>")[0]
    assert "#cumulative" in page


def test_the_foot_of_every_page_tells_the_newest_official_row_and_the_versions(tmp_path, project, filed, small):
    old = small("old", changes={"harness_version": "0.3.9", "started_at": "2026-02-03T23:59:59Z"})
    new = small("new", changes={"harness_version": "0.3.10", "started_at": "2026-02-04T00:00:01Z"})
    mine = small("mine", changes={"harness_version": "9.9", "started_at": "2027-01-01T00:00:00Z"})
    first = build_site(filed(new, old, own=[mine]), project.root, tmp_path / "site")
    version = load_matrix()[0].version
    wanted = f"Official rows up to 2026-02-04, made by harness 0.3.9, 0.3.10; matrix version {version}."
    assert not [page for page in first.parent.rglob("*.html") if wanted not in words_of(page)]


def test_the_foot_names_the_licence_of_the_package(site):
    licence = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["license"]
    assert f"Code and shipped weights: {licence.replace('-', ' ')}" in words_of(site / "index.html")


def test_the_page_on_submitting_has_the_commands_of_the_readme(site):
    commands = re.search(r'<pre id="commands"[^>]*>(.*?)</pre>', text_of(site / "submit.html"), re.DOTALL).group(1)
    readme = (SOURCE / "README.md").read_text(encoding="utf-8")
    assert len(commands.splitlines()) == 5
    assert not [command for command in commands.splitlines() if command not in readme]


def test_the_rules_lie_in_the_site_and_the_page_on_submitting_links_them(tmp_path, project, filed, small):
    (project.root.path / "BENCHMARK.md").write_text("# The rules")
    site = build_site(filed(small("natural")), project.root, tmp_path / "site").parent
    assert (site / "data" / "rules.txt").read_text() == "# The rules"
    for page in ("submit.html", "downloads.html"):
        assert "data/rules.txt" in Links(text_of(site / page)).links


def test_data_sets_with_a_board_come_first_and_the_others_say_that_they_have_none(tmp_path, project, filed, small):
    site = build_site(filed(small("natural", dataset="skin")), project.root, tmp_path / "site").parent
    page = text_of(site / "datasets.html")
    skin, films = page.index('id="skin"'), page.index('id="films"')
    assert skin < films
    assert page[skin:films].count("none yet") == 0
    assert page[films:].count("<dt>Board</dt><dd>none yet</dd>") == 1
    assert "Attacked images" not in page[films:]


@pytest.mark.parametrize("known", [False, True])
def test_how_to_read_says_when_intervals_are_too_narrow_for_want_of_patients(tmp_path, project, filed, small, known):
    card = project.root.datasets / "films" / "dataset.toml"
    card.write_text(card.read_text().replace("patient_ids = false", f"patient_ids = {str(known).lower()}"))
    site = build_site(filed(small("natural")), project.root, tmp_path / "site").parent
    assert ("No data set here knows its patients" in words_of(site / "read.html")) != known


def test_provenance_names_every_harness_version_of_an_entrys_rows(tmp_path, project, filed, small):
    rows = small("natural").rows()
    rows[0]["harness_version"] = "0.2.0"
    site = build_site(filed(rows), project.root, tmp_path / "site").parent
    assert "Harness version</dt><dd>0.1.0, 0.2.0" in text_of(site / "entries" / "natural.html")


def test_the_captions_of_curves_say_that_the_axis_is_not_to_scale(site):
    page = words_of(site / "entries" / "natural.html")
    assert "The budgets are evenly spaced, not to scale" in page
    assert "The numbers of queries are evenly spaced, not to scale" in page


def test_building_again_forgets_old_entries_and_leaves_foreign_files_alone(tmp_path, project, filed, small):
    out = tmp_path / "site"
    build_site(filed(small("old")), project.root, out)
    (out / "CNAME").write_text("example.org")
    build_site(filed(small("new")), project.root, out)
    assert [page.name for page in (out / "entries").iterdir()] == ["new.html"]
    assert (out / "CNAME").is_file()


BUILD = """
import sys
from pathlib import Path
from benchmark.root import Root
from leaderboard.entries import entries_in
from leaderboard.site import build_site
results, root, out = map(Path, sys.argv[1:])
build_site(entries_in([results]), Root(root), out)
"""


@pytest.mark.slow
def test_the_same_rows_give_the_same_bytes_whatever_the_hash_seed_of_the_process(tmp_path, project, save, small):
    few = {"attacked": 3, "corrupted": 1}
    elsewhere = small("one", dataset="skin", tracks=("clean",))
    members = (small("natural", **few), small("one", falls={("white-box", "fgsm", 1): 2.0}, **few), elsewhere)
    results = save(tmp_path / "rows", (one for member in members for one in member.rows()))
    built = []
    for seed in "13":
        out = tmp_path / f"site{seed}"
        command = [sys.executable, "-c", BUILD, str(results), str(project.root.path), str(out)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        built.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert built[0] == built[1]


def test_a_site_without_results_says_how_to_get_some(tmp_path, project):
    assert "bench evaluate" in text_of(build_site([], project.root, tmp_path / "site"))


@pytest.mark.parametrize("column", ["submission", "dataset"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, project, table, small, column):
    rows = table(small("natural", tracks=("clean",)))
    rows[column] = "../escape"
    with pytest.raises(BenchError, match="cannot be a file name"):
        build_site(entries(rows), project.root, tmp_path / "site")


@pytest.mark.parametrize(("falling", "told"), [(9, True), (2, False)])
def test_the_board_tells_of_an_uncounted_attack_that_lies_below_the_worst_case(
    tmp_path, project, filed, pretend, falling, told
):
    project.manifest("natural", "No defense")
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(4)}
    rows = pretend("natural", frames=2, falls=falls).rows_with_uncounted(falling)
    page = text_of(build_site(filed(rows), project.root, tmp_path / "site"))
    titles = re.findall(r'title="([^"]+)">unranked attack lower<', page)
    assert len(titles) == (1 if told else 0)
    if told:
        assert titles[0].startswith(
            "tim (white-box, not counted): 10.0 % at 8/255; counted worst case of the track: 60.0"
        )
        assert titles[0].endswith("also below the worst case over all tracks, 60.0 %.")
    assert 'id="uncounted"' in text_of(tmp_path / "site" / "read.html")


def test_an_entrys_page_tells_how_often_it_gives_no_answer_under_attack(tmp_path, project, filed, pretend):
    rows = pretend("vote", skip=False).rows()
    for one in rows:
        if (one["track"], one["sample_id"], one["eps_255"]) == ("white-box", "00000", 8.0):
            one.update(right_draws=0, correct=False, pred=-1, abstained=True)
    site = build_site(filed(rows, pretend("natural")), project.root, tmp_path / "site").parent
    assert "abstains: 10.0" in text_of(site / "entries" / "vote.html")
    assert "abstains:" not in text_of(site / "entries" / "natural.html")
