"""Data sets: cards, loaders and the :class:`~benchmark.data.split.Split` that everything downstream receives."""
