"""The engine: small pure units of work, run by workers, resumed after an interruption."""

from benchmark.engine.evaluate import RunReport, evaluate
from benchmark.engine.settings import RunSettings, Unit

__all__ = ["RunReport", "RunSettings", "Unit", "evaluate"]
