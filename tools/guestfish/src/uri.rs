// SPDX-License-Identifier: LGPL-2.1-or-later
//! Remote disks, as `-a` takes them: `nbd://server/export`.

use bstr::{BString, ByteSlice};
use guestfs::AddDriveOptions;

use crate::error::{Error, Result};

/// A disk to add.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// File of the host, or what the server calls it.
    pub(crate) filename: BString,
    /// How it is added.
    pub(crate) options: AddDriveOptions,
}

/// How the protocol of a URI calls the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The path from the root.
    Absolute,
    /// The path without its first slash.
    Relative,
}

const SCHEMES: &[(&str, Naming)] = &[
    ("ftp", Naming::Absolute),
    ("ftps", Naming::Absolute),
    ("http", Naming::Absolute),
    ("https", Naming::Absolute),
    ("iscsi", Naming::Relative),
    ("nbd", Naming::Relative),
    ("rbd", Naming::Relative),
    ("ssh", Naming::Absolute),
];

/// The disk that `text` names: a file, unless it looks like a URI and there is no such file.
pub(crate) fn parse(text: &[u8]) -> Result<Disk> {
    let plain = || Disk { filename: text.into(), options: AddDriveOptions::default() };
    let Some((scheme, rest)) = text.split_once_str("://") else { return Ok(plain()) };
    let is_scheme = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'+';
    if scheme.is_empty() || !scheme.iter().all(is_scheme) {
        return Ok(plain());
    }
    let bad = |why: &str| Error::shell(format!("{}: {why}", text.as_bstr()));
    let (rest, query) = rest.split_once_str("?").unwrap_or((rest, b""));
    let (authority, path) = match rest.find_byte(b'/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, &b""[..]),
    };
    let path = decode(path).ok_or_else(|| bad("% is not followed by two digits"))?;
    if scheme == b"file" {
        return match authority {
            b"" | b"localhost" => {
                Ok(Disk { filename: path.into(), options: AddDriveOptions::default() })
            }
            _ => Err(bad("a file of another host: write file:///path")),
        };
    }
    let (scheme, transport) = match scheme.split_once_str("+") {
        Some((scheme, transport)) => (scheme, Some(transport)),
        None => (scheme, None),
    };
    let known = SCHEMES.iter().find(|(name, _)| name.as_bytes() == scheme);
    let Some((protocol, naming)) = known else {
        let names: Vec<_> = SCHEMES.iter().map(|(name, _)| *name).collect();
        return Err(bad(&format!("the protocol is not file, {}", names.join(", "))));
    };
    let (user, server) = match authority.rsplit_once_str("@") {
        Some((user, server)) => (Some(user), server),
        None => (None, authority),
    };
    let server = match (transport, socket(query)) {
        (None | Some(b"tcp"), None) => server.to_vec(),
        (Some(b"unix"), Some(socket)) => [b"unix:", socket].concat(),
        (Some(b"unix"), None) => return Err(bad("?socket=PATH is missing")),
        (None | Some(_), _) => return Err(bad("the transport is neither tcp nor unix")),
    };
    let mut options =
        AddDriveOptions { protocol: Some((*protocol).into()), ..AddDriveOptions::default() };
    if !server.is_empty() {
        options.server = Some(vec![server.into()]);
    }
    if let Some(user) = user {
        let (name, secret) = user.split_once_str(":").unwrap_or((user, b""));
        let part = |it: &[u8]| decode(it).ok_or_else(|| bad("% is not followed by two digits"));
        options.username = Some(part(name)?.into());
        if !secret.is_empty() {
            options.secret = Some(part(secret)?.into());
        }
    }
    let filename = match naming {
        Naming::Absolute => &path[..],
        Naming::Relative => path.strip_prefix(b"/").unwrap_or(&path),
    };
    Ok(Disk { filename: filename.into(), options })
}

fn socket(query: &[u8]) -> Option<&[u8]> {
    query.split_str("&").find_map(|pair| pair.strip_prefix(b"socket="))
}

/// Replaces `%20` and the like.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            out.push(byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2)?.to_str().ok()?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match parse(text.as_bytes()) {
            Err(err) => err.to_string(),
            Ok(Disk { filename, options }) => {
                let mut words = vec![filename.to_string()];
                words.extend(options.protocol.map(|it| format!("protocol:{it}")));
                words.extend(options.server.map(|it| format!("server:{}", it[0])));
                words.extend(options.username.map(|it| format!("username:{it}")));
                words.extend(options.secret.map(|it| format!("secret:{it}")));
                words.join(" ")
            }
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn files() {
        check("disk.img", "disk.img");
        check("a:b", "a:b");
        check("file:///tmp/a%20b", "/tmp/a b");
        check(
            "file://host/x",
            "guestfish: file://host/x: a file of another host: write file:///path",
        );
        check("file:///%zz", "guestfish: file:///%zz: % is not followed by two digits");
    }

    #[test]
    fn servers() {
        check("nbd://h:10809/exp", "exp protocol:nbd server:h:10809");
        check("nbd+unix:///exp?socket=/s", "exp protocol:nbd server:unix:/s");
        check("nbd+unix:///exp", "guestfish: nbd+unix:///exp: ?socket=PATH is missing");
        check("ssh://me@h/d/i", "/d/i protocol:ssh server:h username:me");
        check("https://me:pw@h/i", "/i protocol:https server:h username:me secret:pw");
        check("iscsi://h/t/0", "t/0 protocol:iscsi server:h");
        check("rbd:///pool/disk", "pool/disk protocol:rbd");
        check(
            "gopher://h/",
            "guestfish: gopher://h/: the protocol is not file, ftp, ftps, http, https, iscsi, nbd, \
             rbd, ssh",
        );
    }
}
