// SPDX-License-Identifier: LGPL-2.1-or-later
//! Neither rights nor a home are needed, nor KVM, nor the host's kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{appliance, as_nobody, run, session};

/// Runs `$@` as nobody, in a place where nothing is to be had.  Anybody may do all that in a user
/// namespace, but not on every machine: whoever is not root has few rights anyway.
const PLACE: &str = r#"
set -e
mkdir -m 0000 "$DIR/boot"
mkdir "$DIR/dev"
if [ -d /boot ]; then
    mount --bind "$DIR/boot" /boot
fi
mount -t tmpfs -o mode=755 none "$DIR/dev"
for node in null zero full random urandom tty; do
    : >"$DIR/dev/$node"
    mount --bind "/dev/$node" "$DIR/dev/$node"
done
ln -s /proc/self/fd "$DIR/dev/fd"
mount --rbind "$DIR/dev" /dev
chmod 755 "$DIR"
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all \
    env -u HOME -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME sh -c "$CHECKS" sh "$@"
"#;

const CHECKS: &str = r#"
set -e
test "$(id -u)" = 65534
! test -e /dev/kvm
! ls /boot >/dev/null 2>&1
! test -n "${HOME+set}"
exec "$@"
"#;

#[test]
fn a_session_of_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = session("write-and-read");
    let arguments = program.get_args().map(ToOwned::to_owned).collect::<Vec<_>>();
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", PLACE, "sh"]).env("CHECKS", CHECKS);
        command.env("DIR", dir.path());
        command
    } else {
        eprintln!("not root: /boot and /dev/kvm are left as they are");
        let mut command = Command::new("env");
        command.args(["-u", "HOME"]);
        command
    };
    command.arg(program.get_program()).args(arguments).env("LIBGUESTFS_PATH", appliance());
    command.env_remove("LIBGUESTFS_CACHEDIR").env("LIBGUESTFS_TMPDIR", "/tmp");
    assert_eq!(run(&mut command), "content\n");
}

/// What is remembered between launches saves time, and nothing depends on it.
#[test]
fn a_session_without_a_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).expect("chmod");
    let mut command = session("write-and-read");
    command.env_remove("HOME").env("LIBGUESTFS_CACHEDIR", dir.path());
    assert_eq!(run(as_nobody(&mut command)), "content\n");
}
