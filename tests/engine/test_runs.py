"""A run's rows depend on what is evaluated, never on how."""

import multiprocessing
import os
import signal

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from benchmark.engine import RunSettings, Unit
from benchmark.engine.run_unit import PARTS
from benchmark.engine.workplace import Workplace
from benchmark.results.schema import NOT_IDENTITY, SCHEMA

from .conftest import SHIPPED, TRACKS


def assert_same_rows(one, other, submissions=SHIPPED, tracks=TRACKS):
    for submission in submissions:
        for track in tracks:
            assert_frame_equal(one.identity(submission, track), other.identity(submission, track))


def test_nothing_fails(whole):
    assert whole.report.failures == {}
    assert len(whole.report.files) == len(SHIPPED) * len(TRACKS)
