//! guestfsd.

fn main() {}
