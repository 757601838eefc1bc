"""Finished parts are kept under the harness version: code that decides rows changes only under its maker's eyes."""

import json
import sys

import pytest

from .row_code import PINNED, code, present


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other Pythons write a syntax tree otherwise")
def test_code_that_decides_rows_is_what_was_pinned_with_this_version():
    pinned, now = json.loads(PINNED.read_text(encoding="utf-8")), present()
    changed = [part for part in now if now[part] != pinned.get(part)]
    assert not changed, (
        f"{', '.join(changed)} of benchmark/ changed since harness {pinned['version']} was pinned: raise "
        "benchmark.__version__ if that can alter a row, then run python tests/engine/row_code.py"
    )


def test_words_do_not_count_as_code():
    plain = "def f(x):\n    return x\n"
    told = '"""Module."""\n\n# why\ndef f(x):\n    """Same."""\n    return x  # here\n'
    assert code(plain) == code(told)
    assert code(plain) != code(plain.replace("return x", "return -x"))
