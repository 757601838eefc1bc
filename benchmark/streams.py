"""What random numbers come from; imports no torch, so that a matrix can be listed without it."""

from typing import Literal

Streams = Literal["mersenne", "philox"]
"""A generator for each image, or numbers for all images at once. A matrix says which it means."""
