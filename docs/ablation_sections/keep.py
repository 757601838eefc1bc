"""Saved results of finished sections, one JSON file each."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ablation_sections.bench import DATASETS, ENTRIES, ROOT, Json
from benchmark import __version__
from benchmark.submission import find_entry

LAYOUT = "2"
"""Of the JSON files; a new one starts new files."""


def fingerprint(sources: Sequence[str]) -> str:
    """Hash of the files that match the patterns, of the two entries and of the version of torch."""
    entries = [find_entry(ROOT, name).content_hash(dataset) for name in ENTRIES for dataset in DATASETS]
    seen = hashlib.sha256(" ".join([LAYOUT, torch.__version__, *entries]).encode())
    for pattern in sources:
        for path in sorted(ROOT.path.glob(pattern)):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def kept(path: Path, fresh: bool, run: Callable[[], Json]) -> Json:
    """The result saved at ``path``, else that of ``run``, with its processor seconds and the benchmark's version."""
    if fresh or not path.exists():
        start = _processor()
        result = {"found": run(), "seconds": round(_processor() - start, 1), "version": __version__}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result), "utf-8")
        part.replace(path)
    return json.loads(path.read_text("utf-8"))


def _processor() -> float:
    """Processor seconds of this process and of its finished children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
