"""The driver: hands ready nodes to an executor and stores what comes back. Nobody else stores."""

import logging
from collections.abc import Callable, Mapping

from benchmark.engine.executors import Executor, News, Task
from benchmark.engine.graph import Graph
from benchmark.engine.store import Store
from benchmark.files import write_atomically

LOG = logging.getLogger(__name__)


def drive(
    graph: Graph,
    store: Store,
    executor: Executor,
    hear: Callable[[News], None],
    weights: Mapping[str, float] | None = None,
) -> None:
    """Compute and store all nodes of a graph.

    A node is handed over when each node that it takes up is stored or has failed; what failed it computes itself.

    Args:
        graph: the nodes.
        store: where tables go.
        executor: computes them.
        hear: told all news, after a table was stored.
        weights: seconds that each node takes. With them the longest chain of nodes goes first, which keeps all
            workers busy to the end; without them nodes go in the graph's order.
    """
    missing = {key: {one.key for one in below if one.key in graph.nodes} for key, below in graph.inputs.items()}
    takers: dict[str, set[str]] = {}
    for key, below in graph.inputs.items():
        for one in below:
            takers.setdefault(one.key, set()).add(key)
    urgency = _urgency(graph, weights)
    waiting = sorted(graph.nodes, key=lambda key: -urgency[key]) if weights else list(graph.nodes)
    in_hand: set[str] = set()

    def ended(news: News) -> News:
        key = news.node.key
        if news.table is not None:
            try:
                store.write(news.node, news.table)
            except OSError as error:
                news = News(news.node, failure=f"its table cannot be stored: {type(error).__name__}: {error}")
        if news.failure:
            LOG.info("%s: %s", news.node, news.failure)
        in_hand.discard(key)
        for taker in takers.get(key, ()):
            missing[taker].discard(key)
        for below in graph.inputs[key]:
            takers[below.key].discard(key)
            if not takers[below.key]:
                executor.forget(below.key)
        return news

    def pass_on(news: News) -> None:
        for path, content in news.kept:
            try:
                write_atomically(path, content)
            except OSError as error:
                # It only spares work later.
                LOG.warning("%s is not kept: %s", path, error)
        hear(ended(news) if news.ended else news)

    while waiting or in_hand:
        while executor.room():
            ready = next((key for key in waiting if not missing[key]), None)
            if ready is None:
                break
            waiting.remove(ready)
            in_hand.add(ready)
            stored = {below.key: store.path(below) for below in graph.inputs[ready]}
            executor.submit(Task(graph.nodes[ready], {one: path for one, path in stored.items() if path.is_file()}))
        executor.wait(pass_on)


def _urgency(graph: Graph, weights: Mapping[str, float] | None) -> dict[str, float]:
    """Seconds from a node's start to the end of the longest chain that begins with it; empty without weights."""
    if weights is None:
        return {}
    found: dict[str, float] = {}
    for key in reversed(graph.nodes):
        found[key] = found.get(key, 0.0) + weights[key]
        for below in graph.inputs[key]:
            found[below.key] = max(found.get(below.key, 0.0), found[key])
    return found
