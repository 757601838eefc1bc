"""Orders of defenses in print and in the rows: how both are counted, and what the page and the command show."""

import pytest

from benchmark.root import find_root
from leaderboard.claims import CLAIMS, Printed, in_print, orderings
from leaderboard.entries import entries
from leaderboard.published import read_published
from leaderboard.site import build_site
from leaderboard.site.render import points

from .conftest import holed, only

ORDER = (("one", "other"),)


@pytest.mark.parametrize(
    ("higher", "lower", "source"), [("mpadvt", "pgd_at", "Survey"), ("comdefend", "random_rp", "MedRDF")]
)
def test_orders_in_print_are_counted_over_experiments_that_print_both(higher, lower, source):
    numbers = [one for one in read_published() if one.source == source]
    printed = in_print(numbers, higher, lower)
    assert printed.both > 0
    assert (printed.above, printed.below) == (printed.both, 0)
    turned = in_print(numbers, lower, higher)
    assert (turned.above, turned.below, turned.both) == (0, printed.both, printed.both)
    assert in_print([], higher, lower) == Printed(0, 0, 0)


def test_an_order_counted_nowhere_is_not_printed():
    assert str(Printed(2, 1, 4)) == "2 of 4, below in 1"
    assert str(Printed(0, 0, 0)) == "not printed"
    assert str(Printed(0, 0, 0, 2, 3)) == "not so; otherwise 2 of 3"


def test_numbers_set_aside_and_other_attacks_count_as_otherwise_in_print():
    printed = in_print(read_published(), "maadvt", "pgd_at")
    assert printed.both == 0
    assert printed.otherwise > 0
    assert all(one.set_aside for one in read_published() if one.defense == "maadvt" and one.track == "white-box")


def test_the_vote_of_10_000_is_the_medrdf_that_is_in_print(table, pretend):
    claims = [("medrdf_sp_mf_10k", "natural"), ("medrdf_sp_mf", "natural"), ("medrdf_sp_mf_10k", "medrdf_sp_mf")]
    rows = table(*(pretend(name) for name in ("medrdf_sp_mf_10k", "medrdf_sp_mf", "natural")))
    longer, shorter, between = (one.printed for one in orderings(entries(rows), read_published(), claims=claims))
    assert longer == shorter
    assert longer.above == longer.both > 0
    assert between == Printed(0, 0, 0)


def test_every_claim_is_about_two_shipped_entries():
    shipped = {path.name for path in find_root().submissions.iterdir()}
    assert {name for claim in CLAIMS for name in claim} <= shipped


def test_an_order_is_confirmed_where_the_first_stands_on_images_on_which_the_second_falls(table, pretend):
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(8)}
    (found,) = orderings(entries(table(pretend("one"), pretend("other", falls=falls))), [], claims=ORDER)
    assert (found.dataset, found.verdict("white-box"), found.verdict("all")) == ("films", "confirmed", "confirmed")
    assert found.told("all").startswith("confirmed: 100.0 and 20.0, +80.0 (")
    assert found.told("clean") == "100.0 and 100.0, +0.0 (+0.0 to +0.0)"


def test_an_order_can_hold_for_the_papers_attacker_and_be_refuted_by_the_adaptive_one(table, pretend):
    ignored = pretend("one", falls={("adaptive", "apgd-ce", image): 8.0 for image in range(10)})
    plain = pretend("other", falls={("white-box", "pgd-20", image): 8.0 for image in range(5)})
    (found,) = orderings(entries(table(ignored, plain)), [], claims=ORDER)
    assert (found.verdict("white-box"), found.verdict("all")) == ("confirmed", "refuted")


def test_an_attack_that_is_not_counted_is_told_where_it_leads_to_another_verdict(table, pretend):
    one, other = pretend("one").rows_with_uncounted(falling=9), pretend("other").rows_with_uncounted(falling=0)
    (found,) = orderings(entries(table(one, other)), [], claims=ORDER)
    assert found.verdict("white-box") == "no significant difference"
    assert found.overturned("white-box").verdict == "lower"
    assert "with the uncounted attacks refuted: 10.0 and 100.0, -90.0 (" in found.told("white-box")
    assert found.overturned("clean") is None


def test_an_attack_that_is_not_counted_and_changes_no_verdict_is_not_told(table, pretend):
    one, other = (pretend(name).rows_with_uncounted(falling=4) for name in ("one", "other"))
    (found,) = orderings(entries(table(one, other)), [], claims=ORDER)
    assert found.overturned("white-box") is None
    assert "uncounted" not in found.told("white-box")


def test_a_gap_in_an_uncounted_attack_takes_no_verdict_away(table, pretend):
    def attacked_alone(name):
        return holed(only(pretend(name).rows_with_uncounted(falling=2), "white-box"), unranked=True)

    (found,) = orderings(entries(table(attacked_alone("one"), attacked_alone("other"))), [], claims=ORDER)
    assert found.verdict("white-box") == "no significant difference"
    assert (found.overturned("white-box"), found.uncounted) == (None, {})


def test_rows_with_gaps_give_no_verdict(table, pretend):
    rows = holed(pretend("one").rows(), track="white-box", sample_id="00000")
    (found,) = orderings(entries(table(rows, pretend("other"))), [], claims=ORDER)
    assert (found.verdict("white-box"), found.told("all")) == ("", "")
    assert found.told("clean") == "100.0 and 100.0, +0.0 (+0.0 to +0.0)"


def test_the_page_shows_each_claim_with_its_verdict_per_data_set(tmp_path, project, filed, pretend):
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(10)}
    members = [pretend(name, dataset=name_of, frames=2, falls=falls if name == "natural" else {})
               for name in ("natural", "pgd_at") for name_of in ("films", "skin")]  # fmt: skip
    page = (build_site(filed(*members), project.root, tmp_path / "site").parent / "claims.html").read_text("utf-8")
    body = page.split('id="pgd_at-natural"')[1].split("</tbody>")[0]
    assert body.count(">confirmed<") == 4
    assert '<th scope="rowgroup" colspan="4"><a href="entries/pgd_at.html">pgd_at</a> above' in body
    assert "in print: 2 of 2, below in 0" in body
    assert '<span class="sub" title="on 10 images">100.0 and 0.0 %' in body
    assert 'id="trades-pgd_at"' not in page
    assert "trades above pgd_at" in page.split("Without official rows of both entries")[1]


def one_answer(pretend, name, **more):
    """An entry that answers 1 to every image."""
    labels = (0, 1, 1) * 20
    wrong = frozenset(image for image, label in enumerate(labels) if label != 1)
    return pretend(name, labels=labels, attacked=len(labels), wrong_clean=wrong, **more)


def attacked_in_vain(pretend, name, **more):
    return pretend(name, labels=(0, 1, 1) * 20, attacked=60, **more)


def test_an_order_with_an_entry_that_gives_one_answer_for_all_is_marked(table, pretend):
    rows = table(attacked_in_vain(pretend, "one"), one_answer(pretend, "other"))
    (found,) = orderings(entries(rows), [], claims=ORDER)
    assert found.hollow == ("other",)
    assert found.claim == "one above other†"
    (turned,) = orderings(entries(rows), [], claims=[("other", "one")])
    assert turned.claim == "other† above one"


def test_the_page_names_the_entry_whose_robustness_is_no_diagnosis(tmp_path, project, filed, pretend):
    members = attacked_in_vain(pretend, "pgd_at", frames=2), one_answer(pretend, "natural", frames=2)
    page = (build_site(filed(*members), project.root, tmp_path / "site").parent / "claims.html").read_text("utf-8")
    body = page.split('id="pgd_at-natural"')[1].split("</tbody>")[0]
    assert ">natural†</a>" in body
    assert ">pgd_at†" not in body
    assert "†: a degenerate classifier on this data set" in page


def test_unofficial_rows_confirm_nothing_on_the_page(tmp_path, project, filed, pretend):
    own = [pretend(name, frames=2) for name in ("natural", "pgd_at")]
    page = (build_site(filed(own=own), project.root, tmp_path / "site").parent / "claims.html").read_text("utf-8")
    assert "No claim has official rows of both its entries yet" in page


def test_differences_carry_a_sign_and_a_zero_has_none():
    assert [points(one) for one in (0.123, -0.05, 0.0, -0.0001)] == ["+12.3", "−5.0", "0.0", "0.0"]


def test_unofficial_rows_are_held_against_no_claim(table, pretend):
    rows = table(pretend("one"), pretend("other"))
    assert len(orderings(entries(rows), [], claims=ORDER)) == 1
    assert orderings(entries(rows.assign(official=False)), [], claims=ORDER) == []
