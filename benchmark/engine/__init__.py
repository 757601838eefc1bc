"""The engine: small pure units of work, run by workers, resumed after an interruption."""

from benchmark.engine.evaluate import Event, RunReport, evaluate
from benchmark.engine.executors import Engine
from benchmark.engine.settings import RunSettings, Unit

__all__ = ["Engine", "Event", "RunReport", "RunSettings", "Unit", "evaluate"]
