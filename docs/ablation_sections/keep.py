"""Results of finished sections in JSON files."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ablation_sections.bench import DATASETS, ENTRIES, ROOT, Json
from benchmark.submission import find_entry


def fingerprint(sources: Sequence[str]) -> str:
    """Changes with the files that these patterns name, with the two entries and with torch."""
    entries = [find_entry(ROOT, name).content_hash(dataset) for name in ENTRIES for dataset in DATASETS]
    seen = hashlib.sha256(" ".join([torch.__version__, *entries]).encode())
    for pattern in sources:
        for path in sorted(ROOT.path.glob(pattern)):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def kept(path: Path, fresh: bool, run: Callable[[], Json]) -> Json:
    """What is kept at ``path``, else what ``run`` returns, with the processor seconds that it took."""
    if fresh or not path.exists():
        start = _processor()
        result = {"found": run(), "seconds": round(_processor() - start, 1)}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result), "utf-8")
        part.replace(path)
    return json.loads(path.read_text("utf-8"))


def _processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
