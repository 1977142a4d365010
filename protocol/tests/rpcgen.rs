// SPDX-License-Identifier: LGPL-2.1-or-later
//! What this crate encodes is, byte for byte, what rpcgen's code encodes from
//! `guestfs_protocol.x`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use guestfs_protocol::structs::{Dirent, InternalMountable, LvmLv};
use guestfs_protocol::wire::{Chunk, Header, MessageError, Progress};
use guestfs_protocol::{
    CommandArgs, InternalParseMountableRet, InternalWriteArgs, LvsFullRet, MkfsArgs, MountArgs,
    Pack, PartSetBootableArgs, PreadArgs, Procedure, UmaskArgs, xdr,
};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// Shapes that no message has at present.
const MORE: &str = "
struct test_dirents { guestfs_int_dirent entries<>; };
struct test_optional { guestfs_text *text; };
";

/// Runs a program that must succeed, and returns what it prints.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|err| {
        panic!(
            "{command:?}: {err} (Debian has rpcgen in rpcsvc-proto, its headers in libtirpc-dev)"
        )
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What the code of rpcgen makes of each value in `encode.c`, in hexadecimal.
fn encoded_by_rpcgen() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpcgen");
    // rpcgen does not overwrite.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let description = format!("{CRATE}/../generated/protocol/guestfs_protocol.x");
    let description = fs::read_to_string(&description).unwrap() + MORE;
    fs::write(directory.join("messages.x"), description).unwrap();
    for (option, file) in [("-h", "messages.h"), ("-c", "messages.c")] {
        let rpcgen = ["-N", option, "-o", file, "messages.x"];
        run(Command::new("rpcgen").args(rpcgen).current_dir(&directory));
    }
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "libtirpc"]));
    run(Command::new("cc")
        .args(["-std=gnu11", "-I.", "-o", "encode"])
        .arg(format!("{CRATE}/tests/rpcgen/encode.c"))
        .arg("messages.c")
        .args(flags.split_whitespace())
        .current_dir(&directory));
    let printed = run(&mut Command::new(directory.join("encode")));
    let pairs = printed.lines().map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(name, bytes)| (name.to_owned(), bytes.to_owned())).collect()
}

fn hex(value: &impl Pack<Vec<u8>>) -> String {
    let mut bytes = Vec::new();
    value.pack(&mut bytes).unwrap();
    hex_of(&bytes)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn lv() -> LvmLv {
    LvmLv {
        lv_name: "root".into(),
        lv_uuid: *b"0123456789abcdefghijklmnopqrstuv",
        lv_attr: "-wi".into(),
        lv_major: -1,
        lv_minor: 2,
        lv_kernel_major: 253,
        lv_kernel_minor: 0,
        lv_size: 1 << 40,
        seg_count: 1,
        origin: "".into(),
        snap_percent: -1.0,
        copy_percent: 12.5,
        move_pv: "".into(),
        lv_tags: "a,b".into(),
        mirror_log: "".into(),
        modules: "".into(),
    }
}

fn encoded_here() -> BTreeMap<String, String> {
    let dirents = [
        Dirent { ino: 1, ftyp: b'd', name: ".".into() },
        Dirent { ino: -1, ftyp: b'?', name: b"\xe9".into() },
    ];
    let mkfs = MkfsArgs {
        fstype: "ext4".into(),
        device: "/dev/sda1".into(),
        blocksize: 4096,
        features: "".into(),
        inode: 0,
        sectorsize: 0,
        label: "ROOT".into(),
    };
    let mut list = Vec::new();
    xdr::pack_list(&dirents, &mut list).unwrap();
    let [mut some, mut none] = [Vec::new(), Vec::new()];
    xdr::pack_opt_text(&Some("text".into()), &mut some).unwrap();
    xdr::pack_opt_text(&None, &mut none).unwrap();
    let mkfs_nr = Procedure::Mkfs as u32;
    let words = ["a", "", "four"].map(Into::into).to_vec();
    let bootable = PartSetBootableArgs { device: "/dev/sda".into(), partnum: -2, bootable: true };
    let mountable =
        InternalMountable { im_type: 1, im_device: "/dev/sda1".into(), im_volume: "home".into() };
    let content = b"a\0b\xff.".to_vec();
    let error = MessageError { errno_string: "ENOENT".into(), message: "/a: missing".into() };
    let progress = Progress { proc_nr: mkfs_nr, serial: 7, position: 1, total: 1 << 40 };
    let named = [
        ("int", hex(&UmaskArgs { mask: 0o22 })),
        ("text", hex(&MountArgs { mountable: "/dev/sda1".into(), mountpoint: "/".into() })),
        ("bool", hex(&bootable)),
        ("hyper", hex(&PreadArgs { path: "/a".into(), count: 5, offset: 1 << 33 })),
        ("opaque", hex(&InternalWriteArgs { path: "/a".into(), content })),
        ("list", hex(&CommandArgs { arguments: words })),
        ("empty list", hex(&CommandArgs { arguments: Vec::new() })),
        ("options", hex(&mkfs)),
        ("struct", hex(&InternalParseMountableRet { mountable })),
        ("struct with uuid and floats", hex(&LvsFullRet { logvols: vec![lv()] })),
        ("structs with char", hex_of(&list)),
        ("optional text", hex_of(&some)),
        ("no text", hex_of(&none)),
        ("header", hex(&Header::call(mkfs_nr, 7, 17, 0))),
        ("error", hex(&error)),
        ("chunk", hex(&Chunk::Data(b"abc".to_vec()))),
        ("progress", hex(&progress)),
    ];
    named.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

#[test]
fn bytes_are_those_of_rpcgen() {
    let (theirs, ours) = (encoded_by_rpcgen(), encoded_here());
    assert_eq!(ours, theirs);
}
