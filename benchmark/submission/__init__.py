"""Entries of the benchmark: manifest, loading, scaffold and contract."""
