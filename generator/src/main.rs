// SPDX-License-Identifier: LGPL-2.1-or-later
//! `cargo run -p generator` writes `generated/`; `-- --check` says what is not as it should be,
//! `-- --coverage` what is described but not implemented.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use generator::lock::Lock;
use generator::{coverage, generate, load, output};

/// Turns api.yaml into everything that is generated.
#[derive(Parser)]
struct Args {
    /// Change nothing: list what is stale or orphaned, and fail if there is any.
    #[arg(long)]
    check: bool,
    /// Change nothing: print how much of the API is implemented, and what is not.
    #[arg(long, conflicts_with = "check")]
    coverage: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(err) => {
            eprintln!("{err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let text = fs::read_to_string(root.join("api.yaml")).context("api.yaml")?;
    let api = load(&text, "api.yaml")?;
    if args.coverage {
        print!("{}", coverage::report(&api));
        return Ok(ExitCode::SUCCESS);
    }
    let files = generate(&api)?;
    let mut differences = Lock::wire(&api).sync(root, args.check)?;
    differences.extend(Lock::abi(&files).sync(root, args.check)?);
    differences.extend(output::sync(&root.join("generated"), &files, args.check)?);
    if args.check && !differences.is_empty() {
        eprintln!("{}", differences.join("\n"));
        eprintln!("run: cargo run -p generator");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
