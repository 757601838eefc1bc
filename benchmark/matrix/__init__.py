"""The threat-model matrix: data, versioned and hashed. Imports no torch, so the site can read it."""

from benchmark.matrix.cell import Cell
from benchmark.matrix.model import Corruption, Matrix, Profile, load_matrix

__all__ = ["Cell", "Corruption", "Matrix", "Profile", "load_matrix"]
