"""Any id has a place of its own below the folder that ``bench attack --save`` is given."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cli.image_files import LONGEST, places

NASTY = '/\\.. %~:*?"<>|\0\n\x7fCONconéÉ\u0301\u202e\ud800.png-clean'


def place(name: str) -> str:
    return places([name])[0].as_posix()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("test-00006", "test-00006"),
        ("test/NORMAL/IM 1.jpeg", "test/NORMAL/IM 1.jpeg"),
        ("patient é 7", "patient é 7"),
        ("/etc/passwd", "%2F/etc/passwd"),
        ("a//b/", "a/%2F/b/%2F"),
        ("../../up-1", ".%2E/.%2E/up-1"),
        (".", "%2E"),
        ("C:\\data\\x", "C%3A%5Cdata%5Cx"),
        ("100%", "100%25"),
        ("a\0b\nc", "a%00b%0Ac"),
        ('<a>"b"|c?*', "%3Ca%3E%22b%22%7Cc%3F%2A"),
        ("con/nul.txt/com1", "%63on/%6Eul.txt/%63om1"),
        ("console", "console"),
        ("ends. /so ", "ends.%20/so%20"),
        ("scan.png/slice", "scan%2Epng/slice"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_an_id_stays_readable_and_what_is_unsafe_is_percent_encoded(name: str, told: str) -> None:
    assert place(name) == told


def test_a_long_id_keeps_the_beginning_of_its_last_part_and_a_hash() -> None:
    first, second = places(["d/" * 100 + "scan-" + "0" * 400, "d/" * 100 + "scan-" + "0" * 401])
    assert first.name.startswith("scan-000")
    assert first != second
    assert len(first.as_posix()) < LONGEST


def test_a_cut_never_falls_inside_an_encoded_character() -> None:
    beginning, _, _ = place("%" * 500).partition("~")
    assert beginning == "%25" * 20


def test_ids_that_some_file_systems_confuse_get_places_of_their_own() -> None:
    confused = ["a/Scan", "a/scan", "e\u0301", "é", "É"]
    keys = {found.as_posix().casefold() for found in places(confused)}
    assert len(keys) == len(confused)
    assert places(confused)[0] == PurePosixPath("a/Scan")


def test_an_id_that_is_the_place_of_another_gets_its_own() -> None:
    long = "x" * 500
    assert len(set(places([place(long), long]))) == 2


@given(st.lists(st.text(st.sampled_from(NASTY), max_size=12) | st.text(max_size=200), unique=True, max_size=30))
def test_no_id_leaves_the_folder_and_no_two_share_a_file(ids: list[str]) -> None:
    found = places(ids)
    files = {f"{one.as_posix()}-{what}.png".casefold() for one in found for what in ("clean", "adversarial")}
    folders = {parent.as_posix().casefold() for one in found for parent in one.parents}
    assert len(files) == 2 * len(ids)
    assert not files & folders
    for one in found:
        assert not one.is_absolute()
        assert ".." not in one.parts
        assert (Path("/seen") / one).is_relative_to("/seen")
        assert all(0 < len(part.encode()) <= LONGEST for part in one.parts)
        assert all(part.isprintable() and not set(part) & set('\\:*?"<>|') for part in one.parts)
