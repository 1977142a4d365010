// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls over a socket pair.
