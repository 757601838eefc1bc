"""Entering a weight file's sha256 in a manifest, touching nothing else of it."""

import re
import tomllib
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.submission.manifest import as_manifest
from benchmark.toml_model import parse_toml

_MARK = "\ufeff"
"""The byte order mark that some editors put before a text."""


def register_weights(folder: Path, dataset: str, file: str, sha256: str) -> None:
    """Enter a weight file as ``[weights.<dataset>]`` in ``folder/submission.toml``.

    Comments, layout, line endings and a byte order mark stay as they are.

    Raises:
        BenchError: there is no manifest, or it would not be a valid one any more; then it stays as it was.
    """
    write_atomically(folder / "submission.toml", registered(folder, dataset, file, sha256).encode())


def registered(folder: Path, dataset: str, file: str, sha256: str) -> str:
    """The text of ``folder/submission.toml`` with a weight file entered; nothing is written.

    Raises:
        BenchError: as :func:`register_weights`.
    """
    path = folder / "submission.toml"
    if not path.is_file():
        raise BenchError(f"{folder} has no submission.toml; create an entry with 'bench new NAME'.")
    wanted = _with_weights(parse_toml(path), dataset, {"file": file, "sha256": sha256})
    as_manifest(wanted, folder)
    text = path.read_bytes().decode()
    mark, before = (_MARK, text[1:]) if text.startswith(_MARK) else ("", text)
    try:
        after = _edited(before, dataset, file, sha256)
        right = tomllib.loads(after) == wanted
    except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, ValueError, KeyError, AttributeError):
        right = False
    if not right:
        raise BenchError(
            f"{path} cannot be edited without changing more of it; give it a table [weights.{dataset}] with "
            f'file = "{file}" and sha256 = "{sha256}".'
        )
    return mark + after


def _with_weights(manifest: dict[str, Any], dataset: str, fields: dict[str, str]) -> dict[str, Any]:
    """What the manifest is to say; what is no table is left for the manifest's check to complain of."""
    weights = manifest.get("weights", {})
    old = weights.get(dataset, {}) if isinstance(weights, dict) else None
    if not isinstance(old, dict):
        return manifest
    # A file of its own takes the place of another entry's.
    kept = {name: value for name, value in old.items() if name != "entry"}
    return {**manifest, "weights": {**weights, dataset: {**kept, **fields}}}


def _edited(text: str, dataset: str, file: str, sha256: str) -> str:
    """The text with the table of a data set changed in place, or else added at the end."""
    fields = {"file": file, "sha256": sha256}
    document = tomlkit.parse(text)
    weights = cast(MutableMapping[str, Any], document.get("weights", {}))
    if dataset in weights:
        weights[dataset].pop("entry", None)
        for name, value in fields.items():
            if weights[dataset].get(name) != value:
                weights[dataset][name] = value
        after = tomlkit.dumps(document)
    elif isinstance(weights, InlineTable):
        table = tomlkit.inline_table()
        table.update(fields)
        weights[dataset] = table
        after = tomlkit.dumps(document)
    else:
        # A table at the end of the text leaves everything before it as it is, which an insertion would not always.
        table_text = f'[weights.{dataset}]\nfile = "{file}"\nsha256 = "{sha256}"\n'
        after = f"{text.rstrip()}{_ending(text) * 2}{table_text}"
    return after if _ending(text) == "\n" else re.sub(r"(?<!\r)\n", "\r\n", after)


def _ending(text: str) -> str:
    """The line ending that all lines of a text have; the usual one where they differ."""
    return "\r\n" if "\r\n" in text and not re.search(r"(?<!\r)\n", text) else "\n"
