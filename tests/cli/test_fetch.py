"""``bench fetch``: rows and entries that the installed package does not carry."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.fetching import fetch
from benchmark.root import fetched_project, find_root

FILES = {
    "BENCHMARK.md": "rules",
    "datasets/films/dataset.toml": "card",
    "submissions/natural/submission.toml": "manifest",
    "leaderboard/results/films/natural/clean.parquet": "rows",
    "leaderboard/records/places.json": "{}",
    "benchmark/__init__.py": "code",
    "submissions/natural/.secret": "hidden",
}
WANTED = {name for name in FILES if not name.startswith("benchmark/") and "/." not in name}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "checkout"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fetched_project()


def tar(path: Path, files: dict[str, str], below: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(below + name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def zipped(path: Path, files: dict[str, str], below: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(below + name, text)
    return path


def there(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_checkout_gives_cards_entries_rows_and_the_board_and_no_code(checkout: Path, cache: Path) -> None:
    got = fetch(str(checkout))
    assert there(cache) == WANTED
    assert (got.folder, got.files) == (cache, len(WANTED))


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize("below", ["", "project-main/"], ids=["at the top", "below the project's name"])
def test_an_archive_gives_the_same(pack, below: str, tmp_path: Path, cache: Path) -> None:
    fetch(str(pack(tmp_path / "archive", FILES, below)))
    assert there(cache) == WANTED


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    tar(tmp_path / "project.tar.gz", FILES)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/project.tar.gz"
        server.shutdown()


def test_an_address_is_downloaded(address: str, cache: Path) -> None:
    fetch(address)
    assert there(cache) == WANTED


def test_commands_outside_a_checkout_use_what_was_fetched(
    checkout: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(str(checkout))
    monkeypatch.setattr("benchmark.root.is_root", lambda path: path == cache)
    root = find_root(start=tmp_path)
    assert root.path == cache
    assert root.installed


def test_a_second_fetch_replaces_the_first_as_a_whole(checkout: Path, cache: Path) -> None:
    fetch(str(checkout))
    (checkout / "datasets/films/dataset.toml").rename(checkout / "datasets/films/other.toml")
    fetch(str(checkout))
    assert "datasets/films/dataset.toml" not in there(cache)


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "datasets/../../out.txt", "C:/datasets/out.txt"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_archive_that_leads_out_of_itself_is_refused_and_changes_nothing(
    pack, name: str, checkout: Path, cache: Path, tmp_path: Path
) -> None:
    fetch(str(checkout))
    with pytest.raises(BenchError, match="not to be trusted"):
        fetch(str(pack(tmp_path / "bad", {**FILES, name: "x"})))
    assert there(cache) == WANTED
    assert not (tmp_path / "out.txt").exists()


def test_links_in_an_archive_are_not_made(tmp_path: Path, cache: Path) -> None:
    path = tar(tmp_path / "linked", FILES)
    with tarfile.open(tmp_path / "with-link.tar", "w") as archive:
        with tarfile.open(path) as old:
            for member in old:
                archive.addfile(member, old.extractfile(member))
        link = tarfile.TarInfo("datasets/films/passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    fetch(str(tmp_path / "with-link.tar"))
    assert there(cache) == WANTED


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "there is no"),
        (lambda path: path.write_text("nothing") and path, "no zip or tar archive"),
        (lambda path: tar(path, {"readme.txt": "x"}), "holds no project"),
        (lambda path: path.mkdir() or path, "holds no project"),
    ],
    ids=["missing", "no archive", "another project", "an empty folder"],
)
def test_what_is_no_project_is_refused_in_one_sentence(make, words: str, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BenchError, match=words):
        fetch(str(make(tmp_path / "source")))
    assert not cache.exists()


def test_an_address_that_does_not_answer_is_told(cache: Path) -> None:
    with pytest.raises(BenchError, match="cannot be fetched"):
        fetch("http://127.0.0.1:9/project.zip")
