"""A card says everything about a data set, and nothing that the harness does not know."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.card import MEDMNIST_FLAGS, MEDMNIST_SIZES, Card, all_cards, cards_of, read_card, sound_cards
from benchmark.errors import BenchError
from benchmark.root import Root


def test_every_shipped_card_is_read(root: Root) -> None:
    cards = all_cards(root.datasets)
    assert {"synthetic_cxr", "pneumoniamnist", "dermamnist", "isic2017_64"} <= set(cards)
    assert all(name == card.name for name, card in cards.items())


def test_medmnist_cards_agree_with_the_package(root: Root) -> None:
    from medmnist import INFO

    for card in all_cards(root.datasets).values():
        if card.medmnist is not None:
            info = INFO[card.medmnist.flag]
            assert card.files[0].md5 == info["MD5"]
            assert card.splits.model_dump() == info["n_samples"]
            assert card.classes == [info["label"][str(i)] for i in range(len(info["label"]))]
            assert (card.channels, card.licence) == (info["n_channels"], info["license"])


def test_the_flags_are_those_of_the_packages_2d_sets() -> None:
    from medmnist import INFO

    flat = {flag for flag, info in INFO.items() if all(f"url_{size}" in info for size in MEDMNIST_SIZES[1:])}
    assert set(MEDMNIST_FLAGS) == flat


def test_medmnist_has_no_file_of_another_size(make_card: Callable[..., Card]) -> None:
    changes = ('loader = "npz"', 'loader = "medmnist"'), ("[npz]", '[medmnist]\nflag = "octmnist"\n[npz]')
    with pytest.raises(BenchError, match="size is 8 but MedMNIST's files have 28, 64, 128, 224 pixels"):
        make_card("0" * 64, *changes)


def test_cards_are_read_without_torch(root: Root) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmark.data.card import all_cards; "
        f"all_cards(Path({str(root.datasets)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root.path, check=False).returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title = "Tiny"', 'titel = "Tiny"', "titel"),
        ('title = "Tiny"', "", "field 'title' is missing"),
        ('loader = "npz"', 'loader = "magic"', "loader"),
        ('name = "tiny"', 'name = "Tiny set"', "name"),
        ('name = "tiny"', 'name = "other"', "the folder is 'tiny'"),
        ('classes = ["no", "yes"]', 'classes = ["no", "yes", "perhaps"]', "task is binary"),
        ('classes = ["no", "yes"]', 'classes = ["no", "no"]', "same name"),
        ('sha256 = ["' + "0" * 64 + '"]', "", "has no checksum"),
        ("0" * 64, "abc", "sha256"),
        ("size = 8", "size = 7", "field 'size': must be the side of a square"),
        ("size = 8", "size = [8, 1025]", "of 8 to 1024 pixels each"),
        ("size = 8", "size = [8, 8, 8]", r"\[height, width\]"),
        ("size = 8", 'size = "8"', "must be the side"),
        ("val = 4", "val = 0", "no validation images"),
        ('loader = "npz"', 'loader = "arrays"', r"the table \[arrays\] is missing"),
        ('loader = "npz"', 'loader = "folder"', r"the table \[folder\] is missing"),
        ("count = 3", "count = 6", "lower it"),
        ("count = 3", 'count = 3\nids = ["a", "b"]', "make them agree"),
        ("count = 3", 'count = 3\nids_file = "gone.txt"', "gone.txt is missing"),
        ('name = "tiny.npz"', 'name = "../tiny.npz"', "plain file name"),
        ('loader = "npz"', 'loader = "medmnist"', r"table \[medmnist\]"),
        ('title = "Tiny"', "title = Tiny", "not valid TOML"),
        ("[npz]", '[medmnist]\nflag = "pneumonia"\n[npz]', "Did you mean 'pneumoniamnist'"),
        ("[npz]", '[medmnist]\nflag = "nodulemnist3d"\n[npz]', "'nodulemnist3d' holds volumes"),
    ],
)
def test_a_wrong_card_is_refused_in_one_sentence(
    make_card: Callable[..., Card], old: str, new: str, complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint) as caught:
        make_card("0" * 64, (old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "suggestion"),
    [
        ('title = "Tiny"', 'titel = "Tiny"', "title"),
        ("how_to_get =", "how_to_got =", "how_to_get"),
        ("drawn =", "drown =", "drawn"),
        ("ids = ", "idz = ", "ids"),
    ],
)
def test_a_misspelt_field_gets_a_suggestion_from_its_own_table(
    make_card: Callable[..., Card], old: str, new: str, suggestion: str
) -> None:
    with pytest.raises(BenchError, match=f"Did you mean '{suggestion}'"):
        make_card("0" * 64, (old, new))


def test_an_ids_file_with_a_repeated_id_is_refused(make_card: Callable[..., Card], tmp_path: Path) -> None:
    (tmp_path / "datasets" / "tiny").mkdir(parents=True)
    (tmp_path / "datasets" / "tiny" / "ids.txt").write_text("test_0\ntest_1\ntest_1\n")
    with pytest.raises(BenchError, match="2 different ids in 3 lines"):
        make_card("0" * 64, ("count = 3", 'count = 3\nids_file = "ids.txt"'))


def test_an_ids_file_has_one_id_a_line_which_may_hold_spaces(make_card: Callable[..., Card], tmp_path: Path) -> None:
    (tmp_path / "datasets" / "tiny").mkdir(parents=True)
    (tmp_path / "datasets" / "tiny" / "ids.txt").write_text("test/NORMAL/IM 1.jpeg\n\na\x0bb\n  c\n\n")
    card = make_card("0" * 64, ("count = 3", 'count = 3\nids_file = "ids.txt"'))
    assert card.official.ids == ["test/NORMAL/IM 1.jpeg", "a\x0bb", "  c"]


@pytest.mark.parametrize(("told", "shape"), [("16", (1, 16, 16)), ("[9, 16]", (1, 9, 16)), ("[16, 16]", (1, 16, 16))])
def test_a_size_is_a_side_or_height_and_width(
    make_card: Callable[..., Card], told: str, shape: tuple[int, int, int]
) -> None:
    card = make_card("0" * 64, ("size = 8", f"size = {told}"))
    assert card.shape == shape
    assert isinstance(card.size, int) == (shape[1] == shape[2])


def test_a_folder_without_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"has no dataset\.toml"):
        read_card(tmp_path)


def test_official_ids_are_read_from_the_file_beside_the_card(root: Root) -> None:
    card = read_card(root.datasets / "pneumoniamnist")
    assert len(card.official.ids) == card.official.count == 256
    assert not set(card.official.ids) & set(card.official.exclude)


def test_sound_cards_are_read_beside_a_wrong_one_unless_that_one_is_needed(
    make_card: Callable[..., Card], tmp_path: Path
) -> None:
    card, folder = make_card(), tmp_path / "datasets"
    (folder / "other").mkdir()
    (folder / "other" / "dataset.toml").write_text("nonsense", encoding="utf-8")
    found, complaints = sound_cards(folder)
    assert list(found) == list(cards_of(folder, [card.name])) == [card.name]
    assert len(complaints) == 1
    assert "other" in complaints[0]
    with pytest.raises(BenchError):
        sound_cards(folder, ["other"])
