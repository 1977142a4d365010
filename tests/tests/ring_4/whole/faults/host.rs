// SPDX-License-Identifier: LGPL-2.1-or-later
//! The machine: its directories, its memory, and KVM.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Place, may_mount};

#[test]
fn no_room_for_temporary_files() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    let (tmp, disk) = (place.dir.path().join("tmp"), place.file("disk"));
    fs::write(&disk, [0; 4096]).expect("a disk");
    let mount = format!(
        "mount -t tmpfs -o size=4k none '{0}'; head -c 4096 /dev/zero >'{0}/full'",
        tmp.display()
    );
    let drives = [format!("ro:{}", disk.display())];
    let tmp = tmp.display().to_string();
    let says = [tmp.as_str(), "No space left on device", "LIBGUESTFS_TMPDIR"];
    place.with_mounts(&mount).drives(&drives).fails(&says);
}

#[test]
fn temporary_directory_that_cannot_be_written() {
    let place = Place::new().without_rights();
    let (tmp, disk) = (place.dir.path().join("tmp"), place.file("disk"));
    fs::write(&disk, [0; 4096]).expect("a disk");
    fs::set_permissions(&tmp, Permissions::from_mode(0o555)).expect("chmod");
    let drives = [format!("ro:{}", disk.display())];
    let tmp = tmp.display().to_string();
    let says = [tmp.as_str(), "Permission denied", "LIBGUESTFS_TMPDIR"];
    place.drives(&drives).fails(&says);
}

#[test]
fn too_little_memory() {
    let place = Place::new().env("LIBGUESTFS_MEMSIZE", "8000").before("ulimit -v 4000000");
    place.fails(&["Cannot allocate memory", "less memory", "LIBGUESTFS_MEMSIZE"]);
}

/// A group of processes that have so little memory together, if this user may make one.
struct Group(PathBuf);

impl Group {
    fn new(limit_bytes: u64) -> Option<Self> {
        let name = format!("guestfs-fault-{}", std::process::id());
        for (top, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Self(Path::new(top).join(&name));
            if fs::create_dir(&group.0).is_err() {
                continue;
            }
            if fs::write(group.0.join(file), limit_bytes.to_string()).is_ok() {
                // Without the controller of swap there is no such file.
                let _ = fs::write(group.0.join("memory.swap.max"), "0");
                return Some(group);
            }
        }
        eprintln!("no control group can be made: not tested");
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn too_little_memory_for_all_together() {
    let Some(group) = Group::new(64 << 20) else { return };
    let place = Place::new().env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg:template=0");
    let place = place.before(&format!("echo $$ >'{}/cgroup.procs'", group.0.display()));
    place.fails(&["qemu was killed by signal 9", "a cgroup has run out of memory"]);
}

#[test]
fn too_few_descriptors() {
    let place = Place::new().before("ulimit -n 8");
    place.fails(&["Too many open files", "ulimit -n"]);
}

fn force_kvm(place: Place) -> Place {
    place.env("LIBGUESTFS_BACKEND_SETTINGS", "force_kvm")
}

const KVM: &str = "/dev/kvm";

fn open_kvm() -> std::io::Result<fs::File> {
    fs::File::options().read(true).write(true).open(KVM)
}

/// Somebody who may not open it, on any machine: it is root who arranges that.
#[test]
fn kvm_that_this_user_may_not_use() {
    let emulation = "force_kvm is set, without it the appliance runs by emulation";
    if Path::new(KVM).exists() && nix::unistd::geteuid().is_root() {
        let place = force_kvm(Place::new().without_rights());
        let file = place.file("kvm");
        fs::write(&file, "").expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o000)).expect("chmod");
        let place = place.with_mounts(&format!("mount --bind '{}' {KVM}", file.display()));
        place.fails(&["/dev/kvm: Permission denied", "group", emulation]);
    } else if !Path::new(KVM).exists() {
        let place = force_kvm(Place::new());
        place.fails(&["/dev/kvm: No such file or directory", "kvm_intel or kvm_amd", emulation]);
    } else if open_kvm().is_err() {
        let place = force_kvm(Place::new());
        place.fails(&["/dev/kvm: Permission denied", "group", emulation]);
    } else {
        eprintln!("not root, and {KVM} is for everybody: not tested");
    }
}

/// A device that opens, and a qemu that can't use it.
#[test]
fn kvm_that_qemu_may_not_use() {
    if open_kvm().is_err() {
        eprintln!("{KVM} cannot be opened: not tested");
        return;
    }
    let script = "echo 'qemu-system-x86_64: Could not access KVM kernel module: Permission \
                  denied' >&2; exit 1";
    let place = force_kvm(Place::new()).hypervisor_that(script);
    place.fails(&["Could not access KVM kernel module: Permission denied", "group", "force_kvm"]);
}
