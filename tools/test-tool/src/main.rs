// SPDX-License-Identifier: LGPL-2.1-or-later
//! Says whether guestfs works on this machine, and if not, why.

mod checks;
mod cli;
mod host;
mod launch;
mod report;

use std::process::ExitCode;

use crate::cli::Request;
use crate::report::Report;

fn main() -> ExitCode {
    let options = match cli::parse(std::env::args_os()) {
        Ok(Request::Test(options)) => options,
        Ok(Request::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("guestfs-test-tool: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    checks::all(&options, &mut report);
    match report.verdict() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
