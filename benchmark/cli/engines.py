"""The options of ``bench evaluate`` that say where and how wide a run works."""

import os
from typing import TYPE_CHECKING

from benchmark.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from benchmark.engine import Engine


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        BenchError: none of cpu, cuda and cuda:N, or a CUDA device where torch sees none of that number.
    """
    import torch

    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (colon and (kind != "cuda" or not number.isdecimal())):
        raise BenchError(f"device '{device}' is unknown; choose cpu, cuda or cuda:N, such as cuda:1.")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise BenchError(f"device '{device}' was asked for but torch sees no CUDA device; choose --device cpu.")
    count = torch.cuda.device_count()
    if number and int(number) >= count:
        raise BenchError(f"device '{device}' was asked for but torch sees {count}, of numbers 0 to {count - 1}.")


def devices_of(text: str | None) -> tuple[str, ...]:
    """CUDA devices that workers share out.

    Args:
        text: ``all``, numbers such as ``0,2``, or None for none.

    Raises:
        BenchError: something else, or a device that is not there.
    """
    if text is None:
        return ()
    import torch

    if text == "all":
        found = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
        if not found:
            raise BenchError("--devices all was asked for but torch sees no CUDA device; choose --device cpu.")
        return found
    numbers = [word.strip() for word in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise BenchError(f"--devices '{text}' is not understood; give all, or numbers such as 0,2.")
    found = tuple(f"cuda:{number}" for number in dict.fromkeys(numbers))
    for device in found:
        check_device(device)
    return found


def engine_of(
    name: str | None,
    workers: int | None,
    device: str,
    devices: tuple[str, ...],
    address: str | None,
    num_cpus: float | None,
    num_gpus: float | None,
) -> "Engine":
    """The engine that the options ask for.

    Raises:
        BenchError: an unknown engine, or options that belong to another one.
    """
    from benchmark.engine import Engine
    from benchmark.engine.executors import ENGINES

    if name is not None and name not in ENGINES:
        raise BenchError(f"engine '{name}' is unknown.{did_you_mean(name, ENGINES)}")
    if name != "ray":
        given = {"--address": address, "--num-cpus": num_cpus, "--num-gpus": num_gpus}
        for option in (option for option, value in given.items() if value is not None):
            raise BenchError(f"{option} is for Ray; add --engine ray, or leave it out.")
    if devices and name in ("inline", "ray"):
        raise BenchError(f"--devices is for worker processes; leave --engine {name} out.")
    if name == "ray":
        if device.startswith("cuda:"):
            raise BenchError("Ray deals out GPUs itself; choose --device cuda, and --num-gpus for a share of one.")
        gpus = num_gpus if num_gpus is not None else float(device == "cuda")
        return Engine("ray", workers, (), address, 1.0 if num_cpus is None else num_cpus, gpus)
    if name == "inline":
        if workers not in (None, 1):
            raise BenchError(f"--engine inline has one worker, not {workers}; leave --workers or --engine out.")
        return Engine("inline", 1)
    crew = workers or len(devices) or os.cpu_count() or 1
    return Engine("processes" if name == "processes" else None, crew, devices)


def engine_in_words(engine: "Engine") -> str:
    """What runs, for the first line that a run says."""
    if engine.chosen == "ray":
        return f"Ray ({engine.address or 'on this machine'})"
    return f"{engine.workers} worker{'' if engine.workers == 1 else 's'}"
