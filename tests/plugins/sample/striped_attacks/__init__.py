"""A package of attacks that is no part of the benchmark."""

from .stripes import Stripes

__all__ = ["Stripes"]
