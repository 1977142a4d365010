//! `cargo run -p generator`

fn main() {}
