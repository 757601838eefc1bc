"""MedRobustBench: the harness behind ``bench``.

Importing this package imports neither torch nor any dataset: the leaderboard reads
:mod:`benchmark.results.schema` on machines that have no torch at all.
"""

__version__ = "0.5.0"
"""Version of the harness. It is part of every unit's identity: raise it whenever a change can alter a row."""
