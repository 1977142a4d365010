// SPDX-License-Identifier: LGPL-2.1-or-later
//! Random numbers, from the kernel: it is given fresh ones before a clone answers its first call.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{About, Result};

/// Bytes that nobody can foretell.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut done = 0;
    while done < N {
        done += getrandom(&mut bytes[done..], GetRandomFlags::empty()).about("random numbers")?;
    }
    Ok(bytes)
}
