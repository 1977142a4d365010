// SPDX-License-Identifier: LGPL-2.1-or-later
//! A drive as qemu is told of it: a tree of block nodes, in JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::drive::{CacheMode, Drive, Endpoint, Protocol, Remote, Source};
use crate::window;

/// What the nodes refer to by number.
#[derive(Clone, Copy, Default)]
pub(super) struct Supplies<'a> {
    /// Object which holds the password.
    pub secret: Option<&'a str>,
    /// Descriptor set of a file without a name: a scratch disk.
    pub file: Option<usize>,
    /// Descriptor set of the overlay that takes the writes.
    pub overlay: Option<usize>,
    /// Another name of the file, if its own can't be said in JSON.
    pub path: Option<&'a str>,
    /// The file is a block device of the host.
    pub block_device: bool,
}

/// The whole tree.  Its root is called `name`.
pub(super) fn tree(name: &str, drive: &Drive, format: &str, supplies: Supplies<'_>) -> Value {
    let mut base = image(&drive.source, format, supplies);
    let mut node = match supplies.overlay {
        Some(overlay) => {
            base["read-only"] = json!(true);
            on_top(overlay, base)
        }
        None => {
            let lasting = drive.cache == CacheMode::Writeback && supplies.file.is_none();
            base["cache"] = json!({"direct": false, "no-flush": !lasting});
            base
        }
    };
    if drive.discard.wanted() || supplies.file.is_some() {
        node["discard"] = json!("unmap");
    }
    if drive.copy_on_read {
        node = json!({"driver": "copy-on-read", "file": node});
    }
    node["node-name"] = json!(name);
    node
}

/// The root of the appliance, called `root`, with the overlay that makes it writable if need be.
pub(super) fn root(path: &Path, overlay: Option<usize>) -> Value {
    let file = json!({"driver": "file", "filename": path.to_string_lossy()});
    let base = json!({"driver": "raw", "read-only": true, "file": file});
    let mut node = match overlay {
        Some(overlay) => on_top(overlay, base),
        None => base,
    };
    node["node-name"] = json!("root");
    node
}

/// Descriptor set of the window; drives have smaller numbers.
pub(super) const WINDOW_SET: u32 = 1 << 20;

/// The window, called `window`.  Without memory it is a disk that keeps nothing, for the sake of
/// templates, all of which have one.
pub(super) fn window(has_memory: bool) -> Value {
    let mut node = match has_memory {
        true => unnamed(WINDOW_SET as usize),
        false => json!({"driver": "null-co", "size": window::SIZE}),
    };
    node["cache"] = json!({"direct": false, "no-flush": true});
    node["node-name"] = json!("window");
    node
}

/// A node that takes what is written to `base`.
fn on_top(overlay: usize, base: Value) -> Value {
    // What's written is thrown away: it needn't survive a crash of the host.
    json!({
        "driver": "qcow2",
        "file": unnamed(overlay),
        "backing": base,
        "cache": {"direct": false, "no-flush": true},
    })
}

/// The node of the format, on that of the protocol.
pub(super) fn image(source: &Source, format: &str, supplies: Supplies<'_>) -> Value {
    let mut file = match (source, supplies.file) {
        (_, Some(set)) => unnamed(set),
        (Source::File(path), None) => {
            let driver = if supplies.block_device { "host_device" } else { "file" };
            let path = supplies.path.map_or_else(|| path.to_string_lossy(), Into::into);
            json!({"driver": driver, "filename": path})
        }
        (Source::Scratch(_), None) => json!({"driver": "null-co"}),
        (Source::Remote(remote), None) => protocol(remote, supplies.secret),
    };
    // A disk that is only read may be in use by a virtual machine.
    if supplies.overlay.is_some() && matches!(source, Source::File(_)) {
        file["locking"] = json!("off");
    }
    json!({"driver": format, "file": file})
}

/// A file nobody else can open, given to qemu as a descriptor.
fn unnamed(set: usize) -> Value {
    json!({"driver": "file", "filename": format!("/dev/fdset/{set}"), "locking": "off"})
}

fn protocol(remote: &Remote, secret: Option<&str>) -> Value {
    let path = remote.path.as_str();
    let bare = path.strip_prefix('/').unwrap_or(path);
    let server = remote.servers.first();
    let mut node = match remote.protocol {
        Protocol::Nbd => {
            let mut node = json!({"driver": "nbd", "server": server.map(address)});
            if !bare.is_empty() {
                node["export"] = json!(bare);
            }
            node
        }
        Protocol::Ssh => {
            let server = server.map(|it| it.host_and_port(22));
            json!({
                "driver": "ssh",
                "path": path,
                "server": server.map(|(host, port)| json!({"host": host, "port": port})),
            })
        }
        Protocol::Http | Protocol::Https | Protocol::Ftp | Protocol::Ftps => {
            let driver = remote.protocol.name();
            let server = server.map(Endpoint::to_string).unwrap_or_default();
            json!({"driver": driver, "url": format!("{driver}://{server}/{bare}")})
        }
        Protocol::Iscsi => {
            let (target, lun) = match bare.rsplit_once('/') {
                Some((target, lun)) => (target, lun.parse().unwrap_or(0)),
                None => (bare, 0u32),
            };
            json!({
                "driver": "iscsi",
                "transport": "tcp",
                "portal": server.map(Endpoint::to_string),
                "target": target,
                "lun": lun,
            })
        }
        Protocol::Rbd => {
            let mut parts = bare.split('/');
            let pool = parts.next();
            let image = parts.next_back();
            let mut node = json!({"driver": "rbd", "pool": pool, "image": image});
            if let Some(namespace) = parts.next() {
                node["namespace"] = json!(namespace);
            }
            if !remote.servers.is_empty() {
                let servers = remote.servers.iter().map(|it| {
                    let (host, port) = it.host_and_port(6789);
                    json!({"host": host, "port": port})
                });
                node["server"] = servers.collect();
            }
            node
        }
    };
    if let Some(name) = &remote.username {
        node[remote.protocol.user_key()] = json!(name);
    }
    if let Some(id) = secret {
        node[remote.protocol.secret_key()] = json!(id);
    }
    node
}

fn address(server: &Endpoint) -> Value {
    match server {
        Endpoint::Unix(path) => json!({"type": "unix", "path": path}),
        Endpoint::Inet { .. } => {
            let (host, port) = server.host_and_port(10809);
            json!({"type": "inet", "host": host, "port": port})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AddDriveOptions;

    /// A drive as `add_drive` makes it, in qemu's words.
    #[track_caller]
    fn check(filename: &str, options: AddDriveOptions, supplies: Supplies<'_>, expected: &str) {
        let drive = Drive::new(filename.as_bytes(), &options).unwrap();
        assert_eq!(tree("drive0", &drive, "raw", supplies).to_string(), expected);
    }

    fn remote(protocol: &str, servers: &[&str], username: Option<&str>) -> AddDriveOptions {
        AddDriveOptions {
            protocol: Some(protocol.into()),
            server: Some(servers.iter().map(|it| (*it).into()).collect()),
            username: username.map(Into::into),
            secret: username.map(|_| "c2VjcmV0".into()),
            ..Default::default()
        }
    }

    /// The node of the protocol only.
    #[track_caller]
    fn check_remote(filename: &str, options: AddDriveOptions, expected: &str) {
        let drive = Drive::new(filename.as_bytes(), &options).unwrap();
        let supplies =
            Supplies { secret: options.secret.is_some().then_some("s"), ..Default::default() };
        let node = image(&drive.source, "raw", supplies);
        assert_eq!(node["file"].to_string(), expected);
    }

    #[test]
    fn files() {
        let none = Supplies::default();
        check(
            "/a b,c.img",
            AddDriveOptions::default(),
            none,
            r#"{"cache":{"direct":false,"no-flush":false},"driver":"raw","file":{"driver":"file","filename":"/a b,c.img"},"node-name":"drive0"}"#,
        );
        check(
            "/dev/vg/lv",
            AddDriveOptions {
                cachemode: Some("unsafe".into()),
                discard: Some("enable".into()),
                copyonread: Some(true),
                ..Default::default()
            },
            Supplies { block_device: true, ..none },
            r#"{"driver":"copy-on-read","file":{"cache":{"direct":false,"no-flush":true},"discard":"unmap","driver":"raw","file":{"driver":"host_device","filename":"/dev/vg/lv"}},"node-name":"drive0"}"#,
        );
        check(
            "/a.img",
            AddDriveOptions { readonly: Some(true), ..Default::default() },
            Supplies { overlay: Some(3), ..none },
            r#"{"backing":{"driver":"raw","file":{"driver":"file","filename":"/a.img","locking":"off"},"read-only":true},"cache":{"direct":false,"no-flush":true},"driver":"qcow2","file":{"driver":"file","filename":"/dev/fdset/3","locking":"off"},"node-name":"drive0"}"#,
        );
        check(
            "/dev/null",
            AddDriveOptions::default(),
            Supplies { file: Some(2), ..none },
            r#"{"cache":{"direct":false,"no-flush":true},"discard":"unmap","driver":"raw","file":{"driver":"file","filename":"/dev/fdset/2","locking":"off"},"node-name":"drive0"}"#,
        );
    }

    #[test]
    fn protocols() {
        check_remote(
            "/export",
            remote("nbd", &["example.com"], None),
            r#"{"driver":"nbd","export":"export","server":{"host":"example.com","port":"10809","type":"inet"}}"#,
        );
        check_remote(
            "",
            remote("nbd", &["unix:/run/nbd.sock"], None),
            r#"{"driver":"nbd","server":{"path":"/run/nbd.sock","type":"unix"}}"#,
        );
        check_remote(
            "/dir/a.img",
            AddDriveOptions { secret: None, ..remote("ssh", &["[::1]:2222"], Some("joe")) },
            r#"{"driver":"ssh","path":"/dir/a.img","server":{"host":"::1","port":"2222"},"user":"joe"}"#,
        );
        check_remote(
            "/dir/a.iso",
            remote("https", &["example.com:8443"], Some("joe")),
            r#"{"driver":"https","password-secret":"s","url":"https://example.com:8443/dir/a.iso","username":"joe"}"#,
        );
        check_remote(
            "iqn.2003-01.org.linux-iscsi.x/1",
            remote("iscsi", &["10.0.0.1:3260"], Some("joe")),
            r#"{"driver":"iscsi","lun":1,"password-secret":"s","portal":"10.0.0.1:3260","target":"iqn.2003-01.org.linux-iscsi.x","transport":"tcp","user":"joe"}"#,
        );
        check_remote(
            "pool/ns/disk",
            remote("rbd", &["a:1", "b"], Some("joe")),
            r#"{"driver":"rbd","image":"disk","key-secret":"s","namespace":"ns","pool":"pool","server":[{"host":"a","port":"1"},{"host":"b","port":"6789"}],"user":"joe"}"#,
        );
    }
}
