// SPDX-License-Identifier: LGPL-2.1-or-later
//! `cargo run -p generator` writes `generated/`; `-- --check` says what is not as it should be.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use generator::{generate, load, lock, output};

/// Turns api.yaml into everything that is generated.
#[derive(Parser)]
struct Args {
    /// Change nothing: list what is stale or orphaned, and fail if there is any.
    #[arg(long)]
    check: bool,
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
    let mut differences = lock::sync(&root.join("tests/wire.lock"), &api, args.check)?;
    differences.extend(output::sync(&root.join("generated"), &generate(&api)?, args.check)?);
    if args.check && !differences.is_empty() {
        eprintln!("{}", differences.join("\n"));
        eprintln!("run: cargo run -p generator");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
