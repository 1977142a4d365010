//! `import guestfs`.
