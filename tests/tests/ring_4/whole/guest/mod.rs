// SPDX-License-Identifier: LGPL-2.1-or-later
//! A guest as people have them, a Debian system: its configuration edited, its programs run.

mod augeas;
mod commands;
mod network;
