// SPDX-License-Identifier: LGPL-2.1-or-later
//! The guest filesystem shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    guestfish::main()
}
