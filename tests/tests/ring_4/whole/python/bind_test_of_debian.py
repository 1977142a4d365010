# SPDX-License-Identifier: LGPL-2.1-or-later
"""The generated tests of bindings with Debian's extension, which knows errors as C does."""

import bind_test
import guestfs

# Where the result may be absent, its absence does not tell that the function failed.
NOT_TOLD = {"internal_test_rconstoptstringerr_it_fails"}

cases = [case for case in bind_test.CASES if case.__name__ not in NOT_TOLD]
for case in cases:
    case(guestfs.GuestFS(python_return_dict=True))
print(len(cases), "cases")
