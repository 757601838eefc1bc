"""Any console can show what ``bench`` prints: of another encoding, narrow, without colours, or a pipe closed early."""

import io
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cli.console import Console
from benchmark.cli.output import print_json, table_of
from benchmark.cli.stand_ins import HANDLER, stand_in, written


class Answer(Protocol):
    """What a command answered; see conftest."""

    code: int
    out: str
    err: str
    sentence: str


Bench = Callable[..., Answer]
SOURCE = Path(__file__).resolve().parents[2]
CONSOLE = "import sys; from benchmark.cli.app import main; sys.argv[0] = 'bench'; main()"


def in_a_process(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run ``bench`` in a fresh interpreter and return the bytes that it wrote."""
    return subprocess.run(
        [sys.executable, "-c", CONSOLE, *map(str, arguments)],
        capture_output=True,
        check=False,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
    )


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], io.BytesIO]:
    """Return a function that gives standard output an encoding, as ``main`` prepares it, and returns its bytes."""

    def make(encoding: str) -> io.BytesIO:
        raw = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding, HANDLER, write_through=True))
        return raw

    return make


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("29.7 – 51.6", "29.7 - 51.6"),
        ("L∞", "Linf"),
        ("3×3 ± 1, ≤ 2 → ok ✓ …", "3x3 +/- 1, <= 2 -> ok ok ..."),
        ("Müller-Łukasz, Sørensen, Æsir, Straße", "Muller-Lukasz, Sorensen, Aesir, Strasse"),
        ("e\u0301", "e"),
        ("σ = 2ε, Δ", "sigma = 2epsilon, Delta"),
        ("½ m²", "1/2 m2"),
        ("“a” ‘b’\u00a0c\u200b", "\"a\" 'b' c"),
        ("┏━┓┃█⠋", "+-+|#*"),
        ("肺 😀 \udcff", "\\u80ba \\U0001f600 \\udcff"),
    ],
)
def test_what_ascii_lacks_is_replaced_by_something_readable(text: str, told: str) -> None:
    assert written(text, "ascii") == told


def test_what_the_encoding_has_is_kept() -> None:
    assert written("é – ∞", "cp1252") == "é – inf"
    assert written("é – ∞", "latin-1") == "é - inf"
    assert written("é – ∞", "utf-8") == "é – ∞"


@given(st.characters())
def test_every_character_has_a_stand_in_in_ascii(character: str) -> None:
    assert stand_in(character).isascii()
    assert stand_in(character) or unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
@pytest.mark.parametrize("command", ["matrix", "matrix --markdown", "datasets", "submissions", "matrix --help"])
def test_a_listing_is_printed_in_every_encoding(command: str, encoding: str) -> None:
    done = in_a_process(*command.split(), PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "?" not in done.stdout.decode(encoding).replace("?download", "")


def test_a_table_on_an_ascii_console_keeps_its_columns(stream: Callable[[str], io.BytesIO]) -> None:
    raw = stream("ascii")
    table = table_of("Norm", "Interval", whole=("Norm", "Interval"))
    table.add_row("L∞", "1 – 2")
    table.add_row("L2", "…")
    Console(width=60).print(table)
    lines = raw.getvalue().decode("ascii").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line[7] for line in lines[1:-1]] == ["|", "+", "|", "|"]


def test_a_table_of_light_rules_is_no_wider_in_ascii(stream: Callable[[str], io.BytesIO]) -> None:
    stream("ascii")
    light = Console().light_rules
    assert light.ascii
    stream("utf-8")
    assert len(str(Console().light_rules)) == len(str(light))


def test_an_error_is_printed_in_every_encoding(tmp_path: Path) -> None:
    done = in_a_process("evaluate", "natural", "--data-dir", tmp_path / "ключ – ∞", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.decode("ascii").endswith(" - inf does not exist; give the folder that holds the data files.\n")


def test_a_name_that_is_no_text_is_printed(tmp_path: Path) -> None:
    (tmp_path / "\udcff").mkdir()
    done = in_a_process("datasets", "--data-dir", tmp_path / "\udcff", PYTHONIOENCODING="utf-8")
    assert done.returncode == 0
    assert rf"data folder: {tmp_path}/\udcff".encode() in done.stdout


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_is_json_in_every_encoding(encoding: str, stream: Callable[[str], io.BytesIO]) -> None:
    raw = stream(encoding)
    print_json({"title": "é – ∞ 😀 \udcff"})
    assert json.loads(raw.getvalue().decode("utf-8")) == {"title": "é – ∞ 😀 \udcff"}


def test_json_is_readable_where_the_stream_is_utf8(stream: Callable[[str], io.BytesIO]) -> None:
    raw = stream("utf-8")
    print_json({"title": "é – ∞"})
    assert "é – ∞" in raw.getvalue().decode("utf-8")


@pytest.mark.parametrize("command", ["matrix", "matrix --json", "submissions --json", "--help", "--version"])
def test_a_pipe_that_is_closed_early_is_no_error_to_tell(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", CONSOLE, *command.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_error_that_nobody_reads_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", CONSOLE, "validate", "nobody"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, stderr=writer, stdout=subprocess.PIPE, check=False, cwd=SOURCE, env=environment)
    os.close(writer)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["--version", "matrix"])
def test_a_full_disk_is_told_in_one_sentence(command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CONSOLE, command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=SOURCE,
            env=environment,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: a file: No space left on device")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "environment", [{"COLUMNS": "40"}, {"COLUMNS": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1"}, {"PYTHONUTF8": "0"}]
)
def test_a_pipe_is_never_too_narrow(environment: dict[str, str]) -> None:
    done = in_a_process("datasets", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    assert b"pneumoniamnist" in done.stdout


def test_text_is_no_emoji_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print("scan:100:1 \x1b[31m\r\x9b", markup=False, highlight=False)
    assert capsys.readouterr().out == r"scan:100:1 \x1b[31m\x0d\x9b" + "\n"


def test_a_sentence_stays_on_one_line_whatever_it_quotes(bench: Bench, project: Path) -> None:
    assert "line" in bench("--root", project, "validate", "two\nlines").sentence


def test_brackets_in_names_are_no_markup(bench: Bench, project: Path) -> None:
    for folder, file in (("submissions", "submission.toml"), ("datasets", "dataset.toml")):
        (project / folder / "[b]").mkdir()
        (project / folder / "[b]" / file).write_text("nonsense = 1\n")
    assert "[b]" in bench("--root", project, "submissions").out
    assert "[b]" in bench("--root", project, "datasets").out
