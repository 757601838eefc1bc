"""The static site: pages that work from a file:// path, offline, with light and dark and without a mouse."""

from leaderboard.site.build import build_site
from leaderboard.site.matrix import MatrixView, matrix_view

__all__ = ["MatrixView", "build_site", "matrix_view"]
