"""Entries of the benchmark: manifest, loading, scaffold and contract.

The loader needs torch and is imported when first asked for, so that manifests can be read where there is none.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.submission.entry import BuildContext, Entry, all_entries, entry_names, find_entry

__all__ = ["BuildContext", "Entry", "all_entries", "entry_names", "find_entry"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from benchmark.submission import entry

    return getattr(entry, name)
