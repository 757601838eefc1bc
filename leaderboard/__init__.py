"""From result rows to numbers with intervals, ranks and a static site.

This package reads the row schema, manifests and cards; it never imports torch or the harness that writes the rows.
"""
