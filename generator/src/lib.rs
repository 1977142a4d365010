// SPDX-License-Identifier: LGPL-2.1-or-later
//! Turns `api.yaml` into everything that is generated.
//!
//! Five phases with plain data between them: [`schema`] reads, [`check`] judges, [`emit`] turns
//! the description into files in memory by way of `templates/`, and [`output`] alone touches the
//! disk.

pub mod check;
pub mod coverage;
pub mod emit;
pub mod lock;
pub mod names;
pub mod output;
pub mod schema;

use anyhow::{Result, bail};

use crate::output::Files;
use crate::schema::Api;

/// Reads a description and judges it; the error has a line for each complaint.
pub fn load(text: &str, file: &str) -> Result<Api> {
    let api = Api::parse(text)?;
    let complaints = check::check(&api).lines(file);
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(api)
}

/// Everything that is generated from a description.
pub fn generate(api: &Api) -> Result<Files> {
    let mut files = emit::emit(api)?;
    output::format_rust(&mut files)?;
    Ok(files)
}
