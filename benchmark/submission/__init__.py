"""Entries of the benchmark: manifest, loading, scaffold and contract."""

from benchmark.submission.entry import BuildContext, Entry, all_entries, entry_names, find_entry

__all__ = ["BuildContext", "Entry", "all_entries", "entry_names", "find_entry"]
