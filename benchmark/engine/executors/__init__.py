"""Three ways to run nodes: in this process, in processes of this machine, on a Ray cluster."""

from benchmark.engine.executors.base import Executor, News, Task
from benchmark.engine.executors.choice import ENGINES, Engine, open_executor

__all__ = ["ENGINES", "Engine", "Executor", "News", "Task", "open_executor"]
