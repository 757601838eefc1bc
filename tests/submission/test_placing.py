"""Writing a weight file loses nothing that lay in its place, and nothing that came there meanwhile."""

import hashlib
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.submission import placing
from benchmark.submission.placing import check_writable, clear_companions, keep, sha256_at, write_weights
from benchmark.submission.records import companions, untrained_record


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A weight file that somebody made."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"theirs")
    return path


def never(_sha256: str) -> bool:
    return False


def always(_sha256: str) -> bool:
    return True


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_kept_file_is_named_after_the_old_one_and_its_content(place: Path) -> None:
    assert keep(place).name == f"x.safetensors.{digest(b'theirs')[:12]}.kept"
    assert keep(place).read_bytes() == place.read_bytes()


def test_the_same_content_is_kept_once(place: Path) -> None:
    assert keep(place) == keep(place)
    assert len(names(place.parent)) == 2


def test_a_name_that_other_content_has_is_not_taken(place: Path) -> None:
    taken = place.with_name(f"x.safetensors.{digest(b'theirs')[:12]}.kept")
    taken.write_bytes(b"somebody's")
    assert keep(place) != taken
    assert keep(place).read_bytes() == b"theirs"
    assert taken.read_bytes() == b"somebody's"


def test_what_leave_was_given_to_replace_is_kept(place: Path) -> None:
    written = write_weights(place, b"new", sha256_at(place), never)
    assert (written.path, place.read_bytes()) == (place, b"new")
    assert [path.read_bytes() for path in written.kept] == [b"theirs"]


def test_what_may_go_goes_without_a_copy(place: Path) -> None:
    assert write_weights(place, b"new", sha256_at(place), always).kept == ()
    assert names(place.parent) == ["x.safetensors"]


def test_the_same_bytes_again_need_no_copy(place: Path) -> None:
    assert write_weights(place, b"theirs", sha256_at(place), never).kept == ()
    assert names(place.parent) == ["x.safetensors"]


@pytest.mark.parametrize("found", [None, digest(b"what lay there before")])
def test_a_file_that_came_meanwhile_stays_and_the_new_one_goes_beside_it(place: Path, found: str | None) -> None:
    written = write_weights(place, b"new", found, never)
    assert place.read_bytes() == b"theirs"
    assert written.path.name == f"x.{digest(b'new')[:12]}.safetensors"
    assert written.path.read_bytes() == b"new"


def test_a_file_that_comes_while_the_new_one_is_being_written_stays_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = placing.write_atomically
    late = [b"newest of theirs"]

    def slow(path: Path, *rest: object) -> None:
        if path == place and late:
            place.write_bytes(late.pop())
        honest(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(placing, "write_atomically", slow)
    written = write_weights(place, b"new", sha256_at(place), never)
    assert place.read_bytes() == b"newest of theirs"
    assert written.path != place
    assert written.path.read_bytes() == b"new"


def test_a_file_that_vanished_meanwhile_leaves_its_place_to_the_new_one(place: Path) -> None:
    found = sha256_at(place)
    place.unlink()
    assert write_weights(place, b"new", found, never).path == place


def leave_companions(place: Path, record: bytes) -> tuple[Path, Path, Path]:
    table, curve, about = companions(place)
    table.write_text("log")
    curve.write_text("<svg>")
    about.write_bytes(record)
    return table, curve, about


def test_log_curve_and_record_of_a_kept_file_are_kept_with_it(place: Path) -> None:
    beside = leave_companions(place, untrained_record("x", digest(b"theirs")))
    kept = clear_companions(write_weights(place, b"new", sha256_at(place), never))
    assert len(kept) == 3
    assert all(path.suffix == ".kept" for path in kept)
    assert not any(path.exists() for path in beside)


def test_log_curve_and_record_of_a_file_that_may_go_go_with_it(place: Path) -> None:
    leave_companions(place, untrained_record("x", digest(b"theirs")))
    assert clear_companions(write_weights(place, b"new", sha256_at(place), always)) == ()
    assert names(place.parent) == ["x.safetensors"]


@pytest.mark.parametrize("record", [b"{}", b"not json", untrained_record("x", digest(b"a third file"))])
def test_log_curve_and_record_of_nobody_knows_which_file_are_kept(place: Path, record: bytes) -> None:
    leave_companions(place, record)
    assert len(clear_companions(write_weights(place, b"new", sha256_at(place), always))) == 3


def test_a_record_of_the_very_bytes_written_stays(place: Path) -> None:
    beside = leave_companions(place, untrained_record("x", digest(b"new")))
    assert clear_companions(write_weights(place, b"new", sha256_at(place), never)) == ()
    assert all(path.exists() for path in beside)


def test_a_folder_in_the_files_place_is_refused(place: Path) -> None:
    with pytest.raises(BenchError, match="is a folder, but a weight file is to be written there"):
        check_writable(place.parent)


def test_a_link_to_nothing_is_refused(place: Path) -> None:
    place.unlink()
    place.symlink_to("gone")
    with pytest.raises(BenchError, match="is a link to a file that is not there"):
        check_writable(place)


def test_a_place_under_a_file_is_refused(place: Path) -> None:
    with pytest.raises(BenchError, match="is a file, so"):
        check_writable(place / "weights" / "y.safetensors")


def test_a_folder_without_leave_to_write_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere, so that taking the permission away would not do.
    monkeypatch.setattr(placing.os, "access", lambda path, _mode: path != place.parent)
    with pytest.raises(BenchError, match="cannot be written to; correct its permissions"):
        check_writable(place.parent / "weights" / "y.safetensors")
