// SPDX-License-Identifier: LGPL-2.1-or-later
//! guestfsd: the first process of the appliance.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("guestfsd: not process 1: only the appliance runs this program");
        return ExitCode::FAILURE;
    }
    guestfsd::init()
}
