// SPDX-License-Identifier: LGPL-2.1-or-later
//! Paths that are spelled in another case than the filesystem does.

use std::os::fd::AsFd;

use bstr::{BString, ByteSlice};
use rustix::fs::OFlags;

use super::walk::{enter, entries};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;

pub(crate) fn case_sensitive_path(cx: &mut Ctx, path: &GuestPath) -> Result<BString> {
    let names: Vec<_> =
        path.as_bstr().split_str("/").filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&b"..".as_slice()) {
        return Err(Error::invalid("path", format_args!("{path} has a component \"..\"")));
    }
    let mut found = GuestPath::new("path", b"/")?;
    for (at, name) in names.iter().enumerate() {
        let is_last = at + 1 == names.len();
        let spelled = match spelling(cx, &found, name)? {
            Some(spelled) => spelled,
            None if is_last => BString::from(*name),
            None => return Err(Error::sys(found.join(name), Errno::NOENT)),
        };
        found = found.join(&spelled);
    }
    Ok(found.as_bstr().into())
}

/// The entry of a directory that has this name in some case.
fn spelling(cx: &Ctx, directory: &GuestPath, name: &[u8]) -> Result<Option<BString>> {
    let open = cx.open(directory, OFlags::PATH | OFlags::DIRECTORY)?;
    let open = enter(open.as_fd(), c".").about(directory)?;
    let folded = fold(name);
    let mut is_there = false;
    let mut alike: Vec<BString> = Vec::new();
    entries(open.as_fd(), directory, |entry| {
        let entry = entry.name.to_bytes();
        is_there |= entry == name;
        // Two are enough to know that there is a choice.
        if alike.len() < 2 && fold(entry) == folded {
            alike.push(entry.into());
        }
        Ok(())
    })?;
    alike.sort_unstable();
    match &alike[..] {
        _ if is_there => Ok(Some(name.into())),
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [one, other, ..] => {
            let why = format!("{one:?} and {other:?} differ only in case");
            Err(Error::invalid(directory.join(name), why))
        }
    }
}

/// The same for all spellings of a name; other bytes than UTF-8 have one spelling only.
fn fold(name: &[u8]) -> BString {
    match name.to_str() {
        // Upper case first: there are letters that only become the same by it.
        Ok(text) => text.to_uppercase().to_lowercase().into(),
        Err(_) => name.to_ascii_lowercase().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let root = tempfile::tempdir().unwrap();
        for name in ["Windows/System32", "Windows/both", "Windows/BOTH", "Été", "exact", "EXACT"]
        {
            crate::system::make_directories(root.path().join(name));
        }
        crate::system::write(root.path().join("Windows/File"), b"").unwrap();
        let mut cx = Ctx::new(root.path());
        let mut check = |path: &str, expected: &str| {
            let path = GuestPath::new("path", path.as_bytes()).unwrap();
            let found = case_sensitive_path(&mut cx, &path);
            assert_eq!(found.map_or_else(|err| err.to_string(), |it| it.to_string()), expected);
        };
        check("/", "/");
        check("//windows/./SYSTEM32/", "/Windows/System32");
        check("/éTÉ", "/Été");
        check("/exact", "/exact");
        check("/Exact", "/Exact: \"EXACT\" and \"exact\" differ only in case");
        check("/windows/Both/x", "/Windows/Both: \"BOTH\" and \"both\" differ only in case");
        check("/windows/New", "/Windows/New");
        check("/windows/New/x", "/Windows/New: No such file or directory");
        check("/windows/FILE", "/Windows/File");
        check("/windows/FILE/x", "/Windows/File: Not a directory");
        check("/windows/../x", "path: /windows/../x has a component \"..\"");
    }
}
