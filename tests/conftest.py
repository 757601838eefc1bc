"""What all tests share: one thread, repeatable property tests, and where real data lie."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Workers of official runs have one thread too: sums are then the same, and tests leave cores to others.
torch.set_num_threads(1)

# A change is judged on the same cases each time; 'make explore' looks for new ones.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data files; tests that need them are skipped where there is none."""
    given = os.environ.get("BENCH_DATA", "")
    if not given or not Path(given).is_dir():
        pytest.skip("BENCH_DATA names no folder of data files")
    return Path(given)
