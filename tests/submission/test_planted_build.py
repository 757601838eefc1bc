"""Planted submissions whose code does not build or run: each is caught by exactly one check."""

from collections.abc import Callable

import pytest

BROKEN = [
    pytest.param(
        "build",
        "ValueError",
        """
def build(context):
    raise ValueError('no such layer')
""",
        "",
        id="build raises",
    ),
    pytest.param(
        "build",
        "return a Defense",
        """
def build(context):
    return Brightness()
""",
        "",
        id="build returns a bare network",
    ),
    pytest.param(
        "build",
        "use context.num_classes",
        """
def build(context):
    return Defense(Brightness(), 7)
""",
        "",
        id="wrong number of classes",
    ),
    pytest.param(
        "build",
        "has no function 'make'",
        "",
        'entry_point = "defense.py:make"',
        id="missing entry point",
    ),
    pytest.param(
        "build",
        "is missing",
        "",
        'entry_point = "other.py:build"',
        id="missing file",
    ),
    pytest.param(
        "build",
        "No module named 'no_such_module'",
        """
import no_such_module
""",
        "",
        id="import error",
    ),
    pytest.param(
        "build",
        "SyntaxError",
        """
def build(context:
""",
        "",
        id="syntax error",
    ),
    pytest.param(
        "build",
        "SystemExit",
        """
raise SystemExit(0)
""",
        "",
        id="leaves the program",
    ),
    pytest.param(
        "runs",
        "RuntimeError: cannot",
        """
class Bad(Brightness):
    def forward(self, images):
        raise RuntimeError('cannot')

def build(context):
    return Defense(Bad(), context.num_classes)
""",
        "",
        id="predict raises",
    ),
    pytest.param(
        "runs",
        "return a benchmark.defense.Decision",
        """
class Loose(Defense):
    def predict(self, images, draw):
        return self.classifier(images)
def build(context):
    return Loose(Brightness(), 3)
""",
        "",
        id="predict returns a tensor",
    ),
]


@pytest.mark.parametrize(("failing", "words", "code", "extra"), BROKEN)
def test_code_that_does_not_run_is_caught_by_exactly_its_check(
    failing: str, words: str, code: str, extra: str, caught: Callable[..., None]
) -> None:
    caught(failing, words, code, extra)
