# SPDX-License-Identifier: LGPL-2.1-or-later
"""The generated cases of bindings with Debian's extension, which knows errors as C does."""

import runpy
import sys
from pathlib import Path

import cases

# Where the result may be absent, its absence does not tell that the function failed.
NOT_TOLD = "internal_test_rconstoptstringerr: it fails"

runpy.run_path(str(Path(cases.__file__).parents[3] / "generated/tests/python/bind_test.py"))
cases.CASES = [case for case in cases.CASES if case.title != NOT_TOLD]
sys.exit(0 if cases.run() else 1)
