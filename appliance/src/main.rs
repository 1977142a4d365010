//! Builds the appliance.

fn main() {}
