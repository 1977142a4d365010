//! The guest filesystem shell.

fn main() {}
