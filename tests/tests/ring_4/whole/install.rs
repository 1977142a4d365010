// SPDX-License-Identifier: LGPL-2.1-or-later
//! What `make install` puts somewhere works there, and finds its appliance by itself.

use std::path::Path;
use std::process::Command;

use crate::support::{replace_build, run, sparse, top};

fn make_install(destdir: &Path, prefix: &str) {
    let _held = replace_build();
    run(Command::new("make")
        .args(["--silent", "install"])
        .arg(format!("DESTDIR={}", destdir.display()))
        .arg(format!("PREFIX={prefix}"))
        .current_dir(top())
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL"));
}

/// A program that knows nothing of this tree.
fn elsewhere(program: impl AsRef<std::ffi::OsStr>, current: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).current_dir(current);
    command
}

#[test]
fn installed() {
    let dir = tempfile::tempdir().expect("a directory");
    let usr = dir.path().join("usr");
    make_install(dir.path(), "/usr");
    sparse(dir.path().join("disk.img"), 64 << 20);

    let script = "add disk.img format:raw\nrun\npart-disk /dev/sda mbr\nmkfs ext4 /dev/sda1\n\
                  mount /dev/sda1 /\nwrite /known abc\ncat /known\n";
    std::fs::write(dir.path().join("script"), script).expect("a script");
    let guestfish = usr.join("bin/guestfish");
    let printed = run(elsewhere(guestfish, dir.path()).args(["-f", "script"]));
    assert_eq!(printed.trim_end(), "abc");

    let report = run(&mut elsewhere(usr.join("bin/libguestfs-test-tool"), dir.path()));
    assert_eq!(report.lines().next_back(), Some("===== TEST FINISHED OK ====="), "{report}");

    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).expect("a directory");
    let mut command = elsewhere(usr.join("bin/guestfs-appliance"), dir.path());
    let printed = run(command.arg("warm").env("LIBGUESTFS_CACHEDIR", &cache));
    assert!(printed.contains("made and tried"), "{printed}");

    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let modules = run(elsewhere("sh", &usr).args(["-c", "echo $PWD/lib/python3.*/dist-packages"]));
    let read = "import guestfs\n\
                g = guestfs.GuestFS()\n\
                g.add_drive('disk.img', format='raw', readonly=True)\n\
                g.launch()\n\
                g.mount_ro('/dev/sda1', '/')\n\
                print(g.cat('/known'))\n\
                g.close()\n";
    let mut command = elsewhere(python, dir.path());
    let printed = run(command.args(["-c", read]).env("PYTHONPATH", modules.trim()));
    assert_eq!(printed, "abc\n");

    let c = "#include <stdio.h>\n#include <guestfs.h>\n\
             int main (void) {\n\
               guestfs_h *g = guestfs_create ();\n\
               if (!g || guestfs_add_drive_ro (g, \"disk.img\") || guestfs_launch (g)\n\
                   || guestfs_mount_ro (g, \"/dev/sda1\", \"/\")) return 1;\n\
               puts (guestfs_cat (g, \"/known\"));\n\
               guestfs_close (g);\n\
               return 0;\n\
             }\n";
    std::fs::write(dir.path().join("program.c"), c).expect("a program");
    let flags = run(elsewhere("pkg-config", dir.path())
        .args(["--cflags", "--libs", "libguestfs"])
        .env("PKG_CONFIG_SYSROOT_DIR", dir.path())
        .env("PKG_CONFIG_PATH", usr.join("lib/pkgconfig")));
    run(elsewhere("cc", dir.path())
        .args(["-o", "program", "program.c"])
        .args(flags.split_whitespace()));
    let program = dir.path().join("program");
    let printed = run(elsewhere(program, dir.path()).env("LD_LIBRARY_PATH", usr.join("lib")));
    assert_eq!(printed, "abc\n");
}
