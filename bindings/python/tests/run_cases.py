# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the cases in files below generated/tests/python: run_cases.py FILE..."""

import runpy
import sys

import cases

for file in sys.argv[1:]:
    # A file may have the name of a module of Python, so that it is not imported.
    runpy.run_path(file)
sys.exit(0 if cases.run() else 1)
