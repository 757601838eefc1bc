"""A defense whose process cannot be forked meets every question as if it had never been asked."""

from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.defense import Defense, Stage
from benchmark.defense.rollback import Rollback
from benchmark.randomness import Randomness


class Memory(Stage):
    """Remembers each call in every way that an object of Python can."""

    def __init__(self):
        super().__init__()
        self.quiet = torch.zeros(2)
        self.number = 0
        self.list, self.queue, self.set, self.dict = [], deque([1]), {0}, {"deep": [{"er": 0}]}
        self.array = np.zeros(2)
        self.loose = torch.zeros(2)
        self.register_buffer("buffer", torch.zeros(2))
        self.weight = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.helper = Helper()

    def apply_true(self, images, draw):
        self.number += 1
        self.new = "a new attribute"
        self.list.append(images)
        self.queue.append(2)
        self.set.add(1)
        self.dict["deep"][0]["er"] += 1
        self.array += 1
        self.loose.add_(1)
        self.quiet.data.add_(1)
        self.buffer.add_(1)
        self.weight.add_(1)
        self.helper()
        return images

    def as_module(self):
        """The same memory as a layer of a classifier."""
        layer = Layer()
        layer.memory = self
        return layer


class Layer(nn.Module):
    def forward(self, images):
        return self.memory.apply_true(images, None)


class Helper:
    """A callable object with a memory of its own."""

    def __init__(self):
        self.called = 0

    def __call__(self):
        self.called += 1


def state(stage):
    return (
        *(stage.number, list(stage.list), list(stage.queue), set(stage.set), str(stage.dict), stage.array.tolist()),
        *(
            stage.quiet.tolist(),
            stage.loose.tolist(),
            stage.buffer.tolist(),
            stage.weight.tolist(),
            stage.helper.called,
        ),
        hasattr(stage, "new"),
    )


class Brightness(nn.Module):
    def forward(self, images):
        value = images.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-value, value], dim=1)


def remembering():
    return Defense(Brightness(), 2, [Memory()])


def images(count=3):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def draw(count=3):
    return Randomness(range(count))


def test_without_a_rollback_this_memory_is_a_memory():
    stage = Memory()
    before = state(stage)
    stage(images(), draw())
    assert all(old != new for old, new in zip(before, state(stage), strict=True))


def test_everything_that_a_call_changed_is_restored_time_after_time():
    stage = Memory()
    before, rollback = state(stage), Rollback(stage)
    for _ in range(3):
        with rollback:
            stage(images(), draw())
        assert state(stage) == before


def test_the_state_is_restored_after_an_error_too():
    stage = Memory()
    before = state(stage)

    def failing():
        with Rollback(stage):
            stage(images(), draw())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert state(stage) == before


def test_objects_that_refer_to_each_other_in_a_circle_are_followed_once():
    stage = Memory()
    stage.helper.owner = [stage]
    with Rollback(stage):
        stage(images(), draw())
    assert stage.number == 0


def test_a_dictionary_that_counts_in_its_keys_is_restored():
    stage = Memory()
    stage.dict = {0: None}
    with Rollback(stage):
        stage.dict[1] = stage.dict.pop(0)
        stage.digits = vars(stage).pop("number")
    assert stage.dict == {0: None}
    assert (stage.number, hasattr(stage, "digits")) == (0, False)
