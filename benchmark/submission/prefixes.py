"""Names of tensors: under which prefix the names of a file become those of a network. Imports no torch."""

from collections.abc import Collection

COUNTER = "num_batches_tracked"
"""Last part of the name of batch normalisation's counter: it has no part in predictions, and old files lack it."""


def matching_prefixes(names: Collection[str], wanted: Collection[str]) -> list[str]:
    """Find every prefix ``P`` so that the names that begin with it are those of a network with ``P`` before each.

    Names outside ``P`` do not count; a missing :data:`COUNTER` does not either.

    Args:
        names: of the tensors of a file.
        wanted: of the tensors of the network.

    Returns:
        Prefixes that are empty or end with a dot, shortest first; empty where nothing matches.
    """
    wanted = set(wanted)
    needed = {name for name in wanted if not is_counter(name)}
    anchor = min(needed or wanted, default=None)
    if anchor is None:
        return []
    prefixes = (name.removesuffix(anchor) for name in names if name == anchor or name.endswith(f".{anchor}"))
    return sorted((prefix for prefix in prefixes if needed <= (under(names, prefix)) <= wanted), key=len)


def under(names: Collection[str], prefix: str) -> set[str]:
    """Names that begin with ``prefix``, without it."""
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def is_counter(name: str) -> bool:
    """Whether a tensor is the counter of a batch normalisation."""
    return name.rpartition(".")[2] == COUNTER


def leading(names: Collection[str]) -> list[str]:
    """All prefixes that every name carries, from none to the longest, each ending with a dot but for the empty one."""
    found = [""]
    first = min(names, default="")
    for place, letter in enumerate(first):
        if letter == "." and all(name.startswith(first[: place + 1]) for name in names):
            found.append(first[: place + 1])
    return found
