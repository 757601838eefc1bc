"""Freed memory is kept where the C library can be told so, and numbers stay what they are."""

import platform

import pytest
import torch

from benchmark import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_glibc_takes_the_settings():
    assert memory.keep_freed_memory()


def test_a_c_library_that_cannot_be_told_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()


def test_no_number_changes():
    images = torch.rand(64, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Conv2d(8, 16, 3)
    before = network(images)
    memory.keep_freed_memory()
    assert torch.equal(network(images), before)
