"""The work of a run as a graph: nodes with content keys, each computed once, and what each of them takes up.

A node's key hashes everything that can alter its table. Rows of a unit are one node; what several units would else
compute again, or what is worth keeping by itself, is a node beside it: verdicts on clean images, fits, candidates that
do not depend on the target, example images. A unit computes an input that is not there itself, with the same outcome.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from benchmark.attacks.registry import FITTED, build, place_of
from benchmark.engine.coinciding import draws_on
from benchmark.engine.made_by import FIT, code_hash
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.matrix import Cell
from benchmark.randomness import content_seed
from benchmark.results.schema import DIAGNOSTIC
from benchmark.surrogates import DEFAULT, surrogate_hash

Kind = Literal["clean", "fit", "candidates", "examples", "rows"]


@dataclass(frozen=True)
class Node:
    """A piece of work.

    Attributes:
        kind: ``clean`` verdicts of a chunk, a ``fit`` of an attack, no-box ``candidates`` of a chunk, ``examples`` to
            look at, or the ``rows`` of a unit.
        key: hash of everything that can alter the table; nodes of one key are one node.
        unit: a unit that needs the node, or the unit itself; candidates are nobody's and name no submission.
        cell: of a fit and of candidates.
        eps: their budget.
    """

    kind: Kind
    key: str
    unit: Unit = field(compare=False)
    cell: Cell | None = field(default=None, compare=False)
    eps: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        if self.kind == "rows":
            return str(self.unit)
        what = f"{self.kind} {self.cell.name}@{self.eps:g}" if self.cell else self.kind
        whose = Path(self.unit.submission).name or "all"
        return f"{whose}/{self.unit.dataset}/{what}/{self.unit.chunk}"


Find = Callable[[Node], pa.Table | None]
"""Returns a node's table; None where it is not there and has to be computed on the spot."""


def nothing_found(_: Node) -> None:
    """For work outside a run: nothing was computed before."""


Keep = Callable[[Path, bytes], None]
"""Takes a file that is worth keeping before its node is done; whoever drives the run writes it."""


def nothing_kept(_path: Path, _content: bytes) -> None:
    """For work outside a run."""


CODE = {"clean": "benchmark.engine.clean_track", "fit": FIT, "candidates": "benchmark.engine.candidates"}
"""Module that makes a kind of node."""


def _key(workplace: Workplace, kind: Kind, cell: Cell | None, *content: object) -> str:
    """Key of what is no unit's rows, whose key is :meth:`Workplace.identity`; the code is that of kind and attack."""
    places = [CODE.get(kind, f"benchmark.engine.{kind}"), *([] if cell is None else [place_of(cell.method)])]
    return f"{content_seed(kind, code_hash(*places), workplace.device.type, workplace.arithmetic, *content):016x}"


def rows_node(workplace: Workplace, unit: Unit) -> Node:
    """The rows of a unit."""
    return Node("rows", workplace.identity(unit), unit)


def clean_node(workplace: Workplace, unit: Unit) -> Node:
    """Verdicts on the unit's images without attack: one node for all tracks with these images."""
    images = workplace.split(unit.dataset, unit.track).content_hash
    entry = workplace.entry_hash(unit.submission, unit.dataset)
    draws = workplace.profile.judge_draws
    return Node("clean", _key(workplace, "clean", None, entry, images, workplace.matrix.chunk, unit.chunk, draws), unit)


def fit_node(workplace: Workplace, unit: Unit, cell: Cell, eps: float) -> Node:
    """An attack fitted on training images against the unit's entry: one node for all chunks."""
    entry = workplace.entry_hash(unit.submission, unit.dataset)
    train = workplace.training_hash(unit.dataset)
    if build(cell.method, cell.params).knowledge == "answers":
        # What the system answers does not depend on how far an attacker may go.
        eps = 0.0
    key = _key(workplace, "fit", cell, entry, train, *_content(unit, cell, eps))
    return Node("fit", key, replace(unit, chunk=0), cell, eps)


def candidates_node(workplace: Workplace, unit: Unit, cell: Cell, eps: float) -> Node:
    """Adversarial images that a surrogate alone decides: one node for all entries."""
    images = workplace.split(unit.dataset, unit.track).content_hash
    surrogate = surrogate_hash(workplace.root, unit.dataset, cell.surrogate or DEFAULT)
    chunk = (images, workplace.matrix.chunk, unit.chunk)
    key = _key(workplace, "candidates", cell, *chunk, surrogate, *_content(unit, cell, eps))
    return Node("candidates", key, replace(unit, submission=""), cell, eps)


def examples_node(workplace: Workplace, unit: Unit) -> Node:
    """Example images of the unit's entry."""
    return Node("examples", _key(workplace, "examples", None, workplace.identity(unit)), unit)


def _content(unit: Unit, cell: Cell, eps: float) -> tuple[object, ...]:
    return unit.dataset, cell.method, sorted(cell.params.items()), cell.norm, f"{eps:g}"


def renewed(workplace: Workplace, node: Node) -> Node:
    """The node as this process sees it: of another key where its files or its code are not those of the run."""
    if node.kind == "rows":
        return rows_node(workplace, node.unit)
    if node.kind == "clean":
        return clean_node(workplace, node.unit)
    if node.kind == "examples":
        return examples_node(workplace, node.unit)
    assert node.cell is not None
    make = fit_node if node.kind == "fit" else candidates_node
    return make(workplace, node.unit, node.cell, node.eps)


def inputs_of(workplace: Workplace, node: Node) -> Iterator[Node]:
    """The nodes whose tables a node takes up."""
    if node.kind != "rows":
        return
    unit = node.unit
    sources = draws_on(workplace, unit)
    yield from (rows_node(workplace, source) for source in sorted(sources, key=str))
    if workplace.plain_as(unit):
        return
    yield clean_node(workplace, unit)
    if unit.track not in (*workplace.matrix.attack_tracks, DIAGNOSTIC):
        return
    for cell in workplace.cells_of(unit):
        if workplace.view_of(unit, cell) == "surrogate":
            yield from (candidates_node(workplace, unit, cell, eps) for eps in cell.eps_255)
        # A copy is learnt for what the cells before it have left, which may be nothing; only chunks would share it.
        elif build(cell.method, cell.params).knowledge in (FITTED if unit.track != DIAGNOSTIC else ("training",)):
            yield from (fit_node(workplace, unit, cell, eps) for eps in cell.eps_255)


@dataclass(frozen=True)
class Graph:
    """Nodes to compute, each after its inputs.

    Attributes:
        nodes: those that are not stored, by key, in the order of the units that need them.
        inputs: per key of these the nodes that it takes up, stored ones too.
    """

    nodes: dict[str, Node]
    inputs: dict[str, tuple[Node, ...]]

    @property
    def units(self) -> list[Unit]:
        """The units to compute, those too that only lend rows."""
        return [node.unit for node in self.nodes.values() if node.kind == "rows"]


def graph_of(workplace: Workplace, wanted: Sequence[Node], stored: Callable[[Node], bool]) -> Graph:
    """The graph of some nodes and of everything below them that is not stored."""
    nodes: dict[str, Node] = {}
    inputs: dict[str, tuple[Node, ...]] = {}

    def place(node: Node) -> None:
        if node.key in nodes or stored(node):
            return
        inputs[node.key] = tuple(inputs_of(workplace, node))
        for below in inputs[node.key]:
            place(below)
        nodes[node.key] = node

    for node in wanted:
        place(node)
    return Graph(nodes, inputs)
