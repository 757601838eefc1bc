"""Which tensors of a checkpoint are those of a network, and under which names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

import torch
from torch import Tensor

from benchmark.errors import BenchError
from benchmark.submission.checkpoint import Checkpoint, Group
from benchmark.submission.prefixes import is_counter, leading, matching_prefixes, under

WRAPPERS = ("_orig_mod", "module")
"""Parts that ``torch.compile`` and ``DataParallel`` put into names, around a network or around a part of it."""

USUAL = ("state_dict", "model_state_dict", "model", "net", "network", *WRAPPERS)
"""Names under which checkpoints have the trained network; where several networks fit, it is the one under these."""

_AVERAGED = re.compile(r"(?:^|[._-])(?:ema|swa|avg|averaged?)(?:[._-]|$)", re.IGNORECASE)
"""Names of running means of the weights, which are another model than the one trained."""


@dataclass(frozen=True)
class Fit:
    """Tensors of a file under a network's names.

    Attributes:
        stripped: what came before the names in the file: keys and prefixes, ending with a dot, or nothing.
        added: the prefix that the network's names have and the file's lack.
        tensors: by the network's names.
        left_out: tensors of the same place in the file that are not the network's.
        filled: counters of batch normalisation that the file lacks; they are zero.
        passed_over: keys of other weights of the file that fit too.
    """

    stripped: str
    added: str
    tensors: dict[str, Tensor]
    left_out: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether its place says that these are running means."""
        return bool(_AVERAGED.search(self.stripped))

    @property
    def usual(self) -> bool:
        """Whether its place is one of those that training scripts use."""
        return all(part in USUAL for part in self.stripped.split(".") if part)

    @property
    def key(self) -> str:
        """What to give for ``--key``."""
        return self.stripped.rstrip(".")


def fitted(checkpoint: Checkpoint, network: Mapping[str, Tensor], source: str, asked: bool = False) -> Fit:
    """Find the tensors whose names, without what comes before them all, and whose shapes are the network's.

    Args:
        checkpoint: what the file holds.
        network: the network's state dict.
        source: what to call the file in a message.
        asked: whether the user named the place, so that running means are meant too.

    Raises:
        BenchError: none do, those of several places do, or one holds no floating point values where the network's does.
    """
    named = list(_by_names(checkpoint.groups, network)) or list(_by_names(map(_unwrapped, checkpoint.groups), network))
    found = [fit for fit in named if not _unfit(fit, network)]
    if found:
        return _chosen(found, source, asked)
    if named:
        raise BenchError(f"{source}: {_unfit(named[0], network)}")
    raise BenchError(f"{source} does not fit the entry's network: {_nearest(checkpoint.groups, network)}; {_REMEDY}")


_REMEDY = "build in the entry's code the architecture that the weights were trained with."


def by_usual_names(checkpoint: Checkpoint, source: str, asked: bool = False) -> Fit:
    """Guess without a network: the largest of the usual places, without usual prefixes that every name carries.

    Arguments as :func:`fitted`.

    Raises:
        BenchError: no place is the obvious one.
    """
    found = [_stripped(group) for group in checkpoint.groups if not group.deep]
    meant = [fit for fit in found if fit.usual and not fit.averaged] or found
    largest = max(len(fit.tensors) for fit in meant)
    return _chosen([fit for fit in meant if len(fit.tensors) == largest], source, asked)


def _stripped(group: Group) -> Fit:
    prefix = max(
        (prefix for prefix in leading(group.tensors) if all(part in USUAL for part in prefix.split(".")[:-1])), key=len
    )
    tensors = {name.removeprefix(prefix): value for name, value in group.tensors.items()}
    return Fit(_joined(group.place, prefix), "", tensors)


def _joined(place: str, prefix: str) -> str:
    return f"{place}.{prefix}" if place else prefix


def _unwrapped(group: Group) -> Group:
    """The group without wrappers inside its names; unchanged where two names would become one."""
    pattern = rf"(?<=\.)(?:(?:{'|'.join(WRAPPERS)})\.)+"
    tensors = {re.sub(pattern, "", name): value for name, value in group.tensors.items()}
    return replace(group, tensors=tensors) if len(tensors) == len(group.tensors) else group


def _by_names(groups: Iterable[Group], network: Mapping[str, Tensor]) -> Iterable[Fit]:
    """Every way in which names of the file become those of the network, each place once."""
    seen = set()
    for group in groups:
        for added in leading(network):
            wanted = under(network, added)
            for prefix in matching_prefixes(group.tensors, wanted):
                fit = _under(group, prefix, added, network)
                # What lies beside a network of a file is no part of it; beside a part of a network it is the rest.
                if (fit.stripped, added) not in seen and not (added and fit.left_out):
                    seen.add((fit.stripped, added))
                    yield fit


def _under(group: Group, prefix: str, added: str, network: Mapping[str, Tensor]) -> Fit:
    tensors = {
        added + name.removeprefix(prefix): value for name, value in group.tensors.items() if name.startswith(prefix)
    }
    filled = tuple(sorted(set(network) - set(tensors)))
    return Fit(
        _joined(group.place, prefix),
        added,
        tensors | {name: torch.zeros_like(network[name]) for name in filled},
        tuple(sorted(name for name in group.tensors if not name.startswith(prefix))),
        filled,
    )


def _misshapen(fit: Fit, network: Mapping[str, Tensor]) -> str:
    """The first tensor of another shape than the network's, as a clause."""
    for name, value in sorted(fit.tensors.items()):
        if value.shape != network[name].shape:
            return (
                f"tensor '{fit.stripped}{name.removeprefix(fit.added)}' has shape {tuple(value.shape)}, the entry's "
                f"network needs {tuple(network[name].shape)}"
            )
    return ""


def _unfit(fit: Fit, network: Mapping[str, Tensor]) -> str:
    """Why the tensors cannot be the network's, as a clause with what to do; empty where they can."""
    misshapen = _misshapen(fit, network)
    return f"{misshapen}; {_REMEDY}" if misshapen else _mistyped(fit, network)


def _mistyped(fit: Fit, network: Mapping[str, Tensor]) -> str:
    """The first tensor of whole numbers or truth values where the network computes with floating point values."""
    for name, value in sorted(fit.tensors.items()):
        whole = not (value.is_floating_point() or value.is_complex() or value.is_quantized)
        if whole and network[name].is_floating_point():
            return (
                f"tensor '{fit.stripped}{name.removeprefix(fit.added)}' is of type {value.dtype}, the entry's network "
                f"needs {network[name].dtype}; take a checkpoint that holds its values as they were trained."
            )
    return ""


def _chosen(found: list[Fit], source: str, asked: bool) -> Fit:
    """The one that is meant, where that is plain.

    Raises:
        BenchError: it is not.
    """
    trained = [fit for fit in found if asked or not fit.averaged]
    if not trained:
        raise BenchError(
            f"{source} has only averaged weights that fit, which are another model than the trained one; "
            f"give --key {found[0].key} if they are meant."
        )
    usual = [fit for fit in trained if fit.usual] or trained
    others = [fit for fit in usual[1:] if not _same(fit, usual[0])]
    if others:
        keys = " or ".join(f"--key {fit.key}" for fit in (usual[0], *others) if fit.key)
        raise BenchError(f"{source} has weights that fit in more than one place; give {keys}.")
    passed_over = dict.fromkeys(fit.key for fit in found if fit.key != usual[0].key and not _same(fit, usual[0]))
    return replace(usual[0], passed_over=tuple(passed_over))


def _same(one: Fit, other: Fit) -> bool:
    try:
        return one.tensors.keys() == other.tensors.keys() and all(
            torch.equal(value, other.tensors[name]) for name, value in one.tensors.items()
        )
    except (RuntimeError, NotImplementedError):
        # Of another type or layout than the other, or of one that cannot be compared.
        return False


def _nearest(groups: Iterable[Group], network: Mapping[str, Tensor]) -> str:
    """How far the file is from the network where it comes closest, as a clause."""
    wanted = {name for name in network if not is_counter(name)}
    best = max(
        ((group, prefix) for group in groups for prefix in _possible(group, wanted)),
        key=lambda one: (len(under(one[0].tensors, one[1]) & wanted), -len(one[1])),
    )
    group, prefix = best
    have = under(group.tensors, prefix)
    missing, unknown = sorted(wanted - have), sorted(name for name in have - set(network) if not is_counter(name))
    where = f"under '{_joined(group.place, prefix).rstrip('.')}' " if _joined(group.place, prefix) else ""
    told = f"{where}it lacks {len(missing)} of the {len(wanted)} tensors"
    if missing:
        near = get_close_matches(missing[0], unknown, n=1)
        told += f" (first '{missing[0]}'{f', nearest in the file {near[0]!r}' if near else ''})"
    return told + f" and holds {len(unknown)} unknown" + (f" (first '{unknown[0]}')" if unknown else "")


def _possible(group: Group, wanted: Iterable[str]) -> set[str]:
    """Prefixes under which at least one name is the network's."""
    ends = set(wanted)
    found = {""}
    for name in group.tensors:
        parts = name.split(".")
        found |= {
            "".join(f"{part}." for part in parts[:count])
            for count in range(1, len(parts))
            if ".".join(parts[count:]) in ends
        }
    return found
