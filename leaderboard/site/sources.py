"""Where an entry's code and weights lie."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.files import read_text
from benchmark.submission.manifest import Manifest

_NAMES = ("repository", "source", "source code", "code")
"""Labels, in lower case, of the project's address that leads to its code."""


@dataclass(frozen=True)
class WeightsLine:
    """Weights of an entry for one data set: path in the repository (empty where unknown), and whose they are.

    ``lender`` names the submission that they belong to where that is another one; empty for the entry's own.
    """

    dataset: str
    path: str
    sha256: str
    lender: str


def weights_of(manifest: Manifest, manifests: Mapping[str, Manifest]) -> tuple[WeightsLine, ...]:
    """List an entry's weights by data set, in the manifest's order."""
    lines = []
    for dataset, weights in manifest.weights.items():
        owner = manifests.get(weights.entry) if weights.entry else manifest
        own = owner.weights.get(dataset) if owner else None
        path = f"submissions/{owner.name}/{own.file}" if owner and own and own.file else ""
        lines.append(WeightsLine(dataset, path, weights.sha256, weights.entry))
    return tuple(lines)


def repository(project: Path) -> str:
    """Return the address of the repository from ``project.urls`` of a ``pyproject.toml``; empty where none is given.

    Raises:
        BenchError: the file is no TOML.
    """
    if not project.is_file():
        return ""
    try:
        urls = tomllib.loads(read_text(project)).get("project", {}).get("urls", {})
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{project} is not TOML ({error}); correct it.") from None
    by_label = {str(label).lower(): str(url).rstrip("/") for label, url in urls.items()}
    return next((by_label[label] for label in _NAMES if label in by_label), "")
