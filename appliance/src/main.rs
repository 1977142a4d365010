// SPDX-License-Identifier: LGPL-2.1-or-later
//! `guestfs-appliance`: makes the virtual machine's kernel, initrd and root image out of Debian
//! packages, as an ordinary user, and the templates that launches go on from.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod build;
mod cpio;
mod elf;
mod host;
mod inputs;
mod kernel;
mod modules;
mod packages;
mod pattern;
mod root;
mod stub;
mod templates;

/// Makes the appliance, the small virtual machine which opens the disk images, and looks after its
/// templates.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download the packages and make kernel, initrd and root
    Build {
        #[command(flatten)]
        place: Place,
        /// The program that loads libraries for the daemon, dynamically linked
        #[arg(long, value_name = "PATH")]
        helper: PathBuf,
        /// Where downloads are kept [default: guestfs-appliance in the user's cache directory]
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        /// Ask the package archive again, even if the last answer is still in the cache
        #[arg(long)]
        update: bool,
        /// Build a second time and fail if the two results differ
        #[arg(long)]
        verify: bool,
        /// Say what is done
        #[arg(long, short)]
        verbose: bool,
    },
    /// Put another guestfsd into the initrd of an appliance that is there already
    Initrd {
        #[command(flatten)]
        place: Place,
    },
    /// Make the template that launches go on from, so that the first one is as fast as the others
    Warm {
        #[command(flatten)]
        settings: templates::Settings,
    },
    /// List the templates of this user
    Templates {
        /// Remove them all
        #[arg(long)]
        clear: bool,
    },
}

#[derive(Args)]
struct Place {
    /// Directory of the appliance
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The daemon, statically linked
    #[arg(long, value_name = "PATH")]
    guestfsd: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("guestfs-appliance: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build {
            place: Place { output, guestfsd },
            helper,
            cache,
            update,
            verify,
            verbose,
        } => {
            let cache = match cache {
                Some(cache) => cache,
                None => packages::default_cache()?,
            };
            build::Build { output, guestfsd, helper, cache, update, verbose }.run(verify)
        }
        Command::Initrd { place: Place { output, guestfsd } } => {
            build::replace_daemon(&output, &guestfsd)
        }
        Command::Warm { settings } => templates::warm(&settings),
        Command::Templates { clear: false } => templates::list(),
        Command::Templates { clear: true } => templates::clear(),
    }
}
