"""The static site: pages that work from a file:// path, offline, with light and dark and without a mouse."""

from leaderboard.site.build import build_site

__all__ = ["build_site"]
