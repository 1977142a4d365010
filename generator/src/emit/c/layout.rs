// SPDX-License-Identifier: LGPL-2.1-or-later
//! Where the fields of structures of C are, on machines whose pointers have 64 bits: compilers of C
//! and of Rust are asked whether they agree.

use serde::Serialize;

/// A field's place in its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) offset: usize,
}

impl Place {
    /// A number or a pointer.
    pub(super) fn of(size: usize) -> Self {
        Self { size, align: size, offset: 0 }
    }
}

/// Places the fields one after the other.  Returns the size of the structure.
pub(super) fn lay_out<'a>(fields: impl IntoIterator<Item = &'a mut Place>) -> usize {
    let (mut end, mut align) = (0_usize, 1);
    for field in fields {
        field.offset = end.next_multiple_of(field.align);
        end = field.offset + field.size;
        align = align.max(field.align);
    }
    end.next_multiple_of(align)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sizes: &[usize], expected: &[usize], size: usize) {
        let mut fields: Vec<_> = sizes.iter().map(|size| Place::of(*size)).collect();
        assert_eq!(lay_out(&mut fields), size);
        assert_eq!(fields.iter().map(|it| it.offset).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn fields_are_aligned() {
        check(&[], &[], 0);
        check(&[1], &[0], 1);
        check(&[8, 4, 8], &[0, 8, 16], 24);
        check(&[8, 1, 4, 1], &[0, 8, 12, 16], 24);
    }
}
