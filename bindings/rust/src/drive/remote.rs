// SPDX-License-Identifier: LGPL-2.1-or-later
//! Disks on other machines: how they are reached.

use std::fmt;

use bstr::{BStr, BString};

use super::text;
use crate::AddDriveOptions;
use crate::error::{Error, Result};

/// A disk on another machine.
#[derive(Clone)]
pub(crate) struct Remote {
    pub protocol: Protocol,
    pub servers: Vec<Endpoint>,
    /// Name of the export, file or volume.
    pub path: String,
    pub username: Option<String>,
    pub secret: Option<BString>,
}

impl Remote {
    /// The disk that is reached by the protocol `wanted`.
    pub(super) fn new(filename: &[u8], wanted: &BStr, options: &AddDriveOptions) -> Result<Self> {
        let servers = options.server.as_deref().unwrap_or_default();
        let not_for = |argument| Error::invalid(argument, format!("not for protocol {wanted}"));
        let Some(protocol) = Protocol::ALL.into_iter().find(|it| wanted == it.name()) else {
            return Err(Error::invalid("protocol", format!("{wanted}: not a known protocol")));
        };
        if options.username.is_some() && !protocol.takes_username() {
            return Err(not_for("username"));
        }
        if options.secret.is_some() && !protocol.takes_secret() {
            return Err(not_for("secret"));
        }
        if !protocol.takes_servers(servers.len()) {
            let why = format!("{wanted} takes exactly one server, not {}", servers.len());
            return Err(Error::invalid("server", why));
        }
        let servers = servers.iter().map(|it| Endpoint::parse(text("server", it)?));
        let servers = servers.collect::<Result<Vec<_>>>()?;
        if protocol != Protocol::Nbd && servers.iter().any(|it| matches!(it, Endpoint::Unix(_))) {
            return Err(Error::invalid("server", format!("{wanted} has no Unix sockets")));
        }
        let path = text("filename", filename)?;
        check_remote_path(protocol, path)?;
        Ok(Self {
            protocol,
            servers,
            path: path.to_owned(),
            username: options
                .username
                .as_ref()
                .map(|it| text("username", it))
                .transpose()?
                .map(Into::into),
            secret: options.secret.clone(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ftp,
    Ftps,
    Http,
    Https,
    Iscsi,
    Nbd,
    Rbd,
    Ssh,
}

impl Protocol {
    const ALL: [Self; 8] = [
        Self::Ftp,
        Self::Ftps,
        Self::Http,
        Self::Https,
        Self::Iscsi,
        Self::Nbd,
        Self::Rbd,
        Self::Ssh,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Ftps => "ftps",
            Self::Http => "http",
            Self::Https => "https",
            Self::Iscsi => "iscsi",
            Self::Nbd => "nbd",
            Self::Rbd => "rbd",
            Self::Ssh => "ssh",
        }
    }

    /// What qemu calls the user of this protocol.
    pub(crate) fn user_key(self) -> &'static str {
        match self {
            Self::Ftp | Self::Ftps | Self::Http | Self::Https => "username",
            Self::Iscsi | Self::Nbd | Self::Rbd | Self::Ssh => "user",
        }
    }

    /// What qemu calls the object with the password.
    pub(crate) fn secret_key(self) -> &'static str {
        match self {
            Self::Rbd => "key-secret",
            Self::Ftp | Self::Ftps | Self::Http | Self::Https => "password-secret",
            Self::Iscsi | Self::Nbd | Self::Ssh => "password-secret",
        }
    }

    /// Keys of Ceph are handed around in base64.
    pub(crate) fn secret_is_base64(self) -> bool {
        self == Self::Rbd
    }

    fn takes_username(self) -> bool {
        self != Self::Nbd
    }

    /// ssh takes keys from an agent, and nothing else.
    fn takes_secret(self) -> bool {
        !matches!(self, Self::Nbd | Self::Ssh)
    }

    /// A Ceph cluster may be known from the host's configuration, and has several monitors.
    fn takes_servers(self, n: usize) -> bool {
        n == 1 || self == Self::Rbd
    }
}

/// A server, as given in `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Inet { host: String, port: Option<u16> },
    Unix(String),
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self> {
        let bad = || Error::invalid("server", format!("{text}: not a server"));
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Unix(path.to_owned())) };
        }
        let rest = text.strip_prefix("tcp:").unwrap_or(text);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or_else(bad)?),
                };
                (host, port)
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let named = |it: char| it.is_ascii_alphanumeric() || "-._:%".contains(it);
        let port = port.map(str::parse::<u16>).transpose().map_err(|_| bad())?;
        if host.is_empty() || !host.chars().all(named) || port == Some(0) {
            return Err(bad());
        }
        Ok(Self::Inet { host: host.to_owned(), port })
    }

    /// Both as qemu wants them in JSON.
    pub(crate) fn host_and_port(&self, default_port: u16) -> (String, String) {
        match self {
            Self::Inet { host, port } => (host.clone(), port.unwrap_or(default_port).to_string()),
            Self::Unix(path) => (path.clone(), default_port.to_string()),
        }
    }
}

/// As it is written in a URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } => {
                if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
                port.map_or(Ok(()), |it| write!(f, ":{it}"))
            }
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

fn check_remote_path(protocol: Protocol, path: &str) -> Result<()> {
    let bare = path.strip_prefix('/').unwrap_or(path);
    let fits = match protocol {
        Protocol::Nbd => true,
        Protocol::Ftp | Protocol::Ftps | Protocol::Http | Protocol::Https => !bare.is_empty(),
        Protocol::Ssh => path.starts_with('/') && !bare.is_empty(),
        Protocol::Iscsi => {
            let lun = bare.split_once('/').map(|(_, lun)| lun);
            !bare.is_empty() && lun.is_none_or(|it| it.parse::<u32>().is_ok())
        }
        Protocol::Rbd => {
            (2..=3).contains(&bare.split('/').count()) && bare.split('/').all(|it| !it.is_empty())
        }
    };
    if fits {
        return Ok(());
    }
    let form = match protocol {
        Protocol::Iscsi => "TARGET/LUN",
        Protocol::Rbd => "POOL/IMAGE",
        Protocol::Ssh => "an absolute path",
        _ => "a path",
    };
    Err(Error::invalid("filename", format!("{path:?}: {} needs {form}", protocol.name())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::tests::check;

    fn remote(protocol: &str, servers: &[&str]) -> AddDriveOptions {
        AddDriveOptions {
            protocol: Some(protocol.into()),
            server: Some(servers.iter().map(|it| (*it).into()).collect()),
            ..Default::default()
        }
    }

    #[test]
    fn remotes() {
        check("/disk", remote("nbd", &["h:1"]), "nbd://h:1/disk");
        check("disk", remote("nbd", &[]), "server: nbd takes exactly one server, not 0");
        check("pool/disk", remote("rbd", &[]), "rbd:///pool/disk");
        check("disk", remote("rbd", &[]), "filename: \"disk\": rbd needs POOL/IMAGE");
        check("t/x", remote("iscsi", &["h"]), "filename: \"t/x\": iscsi needs TARGET/LUN");
        check("x", remote("ssh", &["h"]), "filename: \"x\": ssh needs an absolute path");
        check("/x", remote("ssh", &["unix:/s"]), "server: ssh has no Unix sockets");
        check("/x", remote("gopher", &["h"]), "protocol: gopher: not a known protocol");
        check("/x", remote("file", &["h"]), "server: not for protocol file");
        let secret = AddDriveOptions { secret: Some("s".into()), ..remote("ssh", &["h"]) };
        check("/x", secret, "secret: not for protocol ssh");
    }

    #[track_caller]
    fn check_endpoint(server: &str, expected: &str) {
        let parsed = Endpoint::parse(server);
        assert_eq!(parsed.map_or_else(|it| it.message().to_owned(), |it| it.to_string()), expected);
    }

    #[test]
    fn endpoints() {
        check_endpoint("example.com", "example.com");
        check_endpoint("tcp:example.com:80", "example.com:80");
        check_endpoint("[::1]:80", "[::1]:80");
        check_endpoint("unix:/run/s", "unix:/run/s");
        for bad in ["", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]x", "a/b", "unix:", "a@b"] {
            check_endpoint(bad, &format!("server: {bad}: not a server"));
        }
    }
}
