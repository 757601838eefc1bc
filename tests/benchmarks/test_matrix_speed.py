"""A whole curve beside the peers' own loops on the same model and images, in one run; ratios stand in ``extra_info``.

FGSM, PGD-20, MIM, DIM, APGD-CE, FAB-T and Square at 1, 2, 4 and 8 /255 on 64 images. torchattacks and pyautoattack are
run one after another, at each budget anew, on what still stands. Here an expensive attack is tried at each budget on
what stands there ("each"), or falls from the largest and is not tried below a budget that it failed at ("robust").
"""

import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import tomlkit
import torch
from torch import nn

from benchmark.data.registry import find_card
from benchmark.data.split import Split
from benchmark.engine import RunSettings, evaluate
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.root import find_root
from benchmark.submission import find_entry

IMAGES = 64
BUDGETS = (1.0, 2.0, 4.0, 8.0)
STEPS = {1.0: 0.5, 2.0: 0.5, 4.0: 1.0, 8.0: 2.0}
CELLS = ("fgsm", "pgd-20", "mim", "dim", "apgd-ce", "fab-t", "square")
DATASET = "pneumoniamnist"


def matrix_of_the_comparison(folder: Path, **options: object) -> Path:
    """A matrix of these white-box cells, all of them counted."""
    root = find_root()
    source = tomllib.loads((root.path / "benchmark" / "matrix" / "matrix-v1.toml").read_text())
    cells = [cell for cell in source["cell"] if cell["track"] == "white-box" and cell["name"] in CELLS]
    kept = [{name: value for name, value in cell.items() if name not in ("informative", "same_as")} for cell in cells]
    path = folder / "matrix.toml"
    path.write_text(tomlkit.dumps({**source, "version": "comparison", **options, "cell": kept}))
    return path


def curve_of_peers(net: nn.Module, split: Split, classes: int) -> dict[float, float]:
    """Robust accuracy at each budget by the peers' attacks, each on the images that the model still gets right."""
    import torchattacks
    from pyautoattack.autopgd_base import APGDAttack
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    images, labels = split.images, split.labels
    with torch.no_grad():
        right = net(images).argmax(dim=1) == labels
    curve = {}
    for budget in BUDGETS:
        eps, alpha = budget / 255, STEPS[budget] / 255
        attacks = (
            torchattacks.FGSM(net, eps=eps),
            torchattacks.PGD(net, eps=eps, alpha=alpha, steps=20),
            torchattacks.MIFGSM(net, eps=eps, alpha=eps / 20, steps=20),
            torchattacks.DIFGSM(net, eps=eps, alpha=eps / 20, steps=20),
            APGDAttack(net, eps=eps, n_iter=100, device="cpu").perturb,
            FABAttack_PT(net, eps=eps, n_iter=100, targeted=True, n_target_classes=classes - 1, device="cpu").perturb,
            SquareAttack(net, eps=eps, n_queries=5000, p_init=0.8, device="cpu").perturb,
        )
        standing = right.clone()
        for attack in attacks:
            rows = standing.nonzero().squeeze(1)
            if len(rows) == 0:
                break
            found = attack(images[rows], labels[rows]).detach()
            with torch.no_grad():
                standing[rows[net(found).argmax(dim=1) != labels[rows]]] = False
        curve[budget] = float(standing.float().mean())
    return curve


@pytest.mark.slow
@pytest.mark.parametrize("descend", ["robust", "each"])
@pytest.mark.parametrize("entry", ["natural", "pgd_at"])
def test_a_curve_beside_the_peers(benchmark, tmp_path, entry, descend):  # type: ignore[no-untyped-def]
    root = find_root()
    card = find_card(DATASET, root)
    torch.set_num_threads(1)
    matrix = matrix_of_the_comparison(tmp_path, descend=descend, twin=True)
    settings = RunSettings(root.path, tmp_path / "results", limit=IMAGES, matrix=matrix)
    try:
        workplace = Workplace(settings)
        split = workplace.split(DATASET, "white-box")
    except BenchError as error:
        pytest.skip(str(error))
    net = find_entry(root, entry).build(card).classifier.eval()

    started = time.perf_counter()
    peers = curve_of_peers(net, split, len(card.classes))
    seconds_of_peers = time.perf_counter() - started

    begun = []

    def run():  # type: ignore[no-untyped-def]
        return evaluate(
            settings, [entry], [DATASET], ["white-box"], on_estimate=lambda _: begun.append(time.perf_counter())
        )

    report = benchmark.pedantic(run, rounds=1)
    seconds = time.perf_counter() - begun[0]
    rows = pd.concat([pd.read_parquet(file) for file in report.files])
    assert (rows.status == "ok").all(), "a gap is no robust image"
    ours = {eps: float(rows[rows.eps_255 == eps].groupby("sample_id").correct.min().mean()) for eps in BUDGETS}
    benchmark.extra_info["seconds per second of the peers"] = seconds / seconds_of_peers
    benchmark.extra_info["robust accuracy"] = {"here": ours, "peers": peers}
    # The peers' own chance differs, by an image at most.
    assert all(ours[eps] <= peers[eps] + 1 / IMAGES for eps in BUDGETS)
