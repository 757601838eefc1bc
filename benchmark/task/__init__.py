"""What a task decides: targets, what an attack ascends, when an image is lost, and what a decision is worth.

Importing this package imports no torch; :mod:`benchmark.task.goal` and its members do.
"""
