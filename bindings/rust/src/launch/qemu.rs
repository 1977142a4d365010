// SPDX-License-Identifier: LGPL-2.1-or-later
//! The command lines of qemu and of the kernel it boots.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use bstr::{BString, ByteSlice};
use guestfs_protocol::wire::{PORT_NAME, WINDOW_SERIAL};
use serde_json::{Value, json};

use super::accel::Accel;
use super::arch::Arch;
use super::disks::{Disk, Disks};
use super::features::Features;
use super::search::Files;
use super::{Config, blockdev, foreign};

/// What the command line is made from.
pub(super) struct Plan<'a> {
    pub config: &'a Config,
    pub files: &'a Files,
    pub features: &'a Features,
    pub arch: &'a Arch,
    pub accel: Accel,
    /// How fast the time stamp counter of an emulated processor runs, if it is known.
    pub tsc_mhz: Option<u32>,
    pub disks: &'a Disks,
    pub sockets: Sockets,
    /// The descriptor of the window, if there is to be one, and if there is memory for it.
    pub window: Option<Option<RawFd>>,
    pub memory: Memory,
}

/// Where the guest's memory is.  Files are descriptors that qemu inherits: what they are opened by
/// has no time to become another one's name.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// Nowhere but in qemu.
    Own,
    /// In a file that becomes that of a template.
    Saved(RawFd),
    /// As the file of a template has it, until it is changed; state of the devices is to come.
    Restored(RawFd),
}

/// qemu's ends of the connections to it, which it inherits.
#[derive(Clone, Copy, Default)]
pub(super) struct Sockets {
    /// The port of the daemon.
    pub channel: RawFd,
    pub console: RawFd,
    pub qmp: RawFd,
}

/// The guest's address is in this network; the daemon knows it.
const NETWORK: &str = "user,id=net,net=169.254.0.0/16";

/// The arguments of qemu.
pub(super) fn arguments(plan: &Plan<'_>) -> Vec<OsString> {
    let Plan { config, files, features, arch, accel, disks, sockets, memory, .. } = plan;
    let mut args = Args::default();
    args.flags(["-nodefaults", "-no-user-config", "-no-reboot"]);
    args.option("-display", "none");
    if !config.identifier.is_empty() {
        // For people who look at a list of processes.
        args.option("-name", format!("guest={}", config.identifier));
    }
    if features.sandbox {
        args.option("-sandbox", sandbox(config));
    }
    let mut machine = machine(features, *accel);
    if let Memory::Saved(fd) | Memory::Restored(fd) = memory {
        let share = matches!(memory, Memory::Saved(_));
        args.option("-object", memory_backend(config, *fd, share).to_string());
        machine.push_str(",memory-backend=memory");
    }
    if let Memory::Restored(_) = memory {
        args.option("-incoming", "defer");
    }
    args.option("-machine", machine);
    args.option("-cpu", accel.cpu(arch));
    args.option("-m", config.memsize_mb.to_string());
    args.option("-smp", config.smp.to_string());
    if config.backend_settings.iter().any(|it| it == "gdb") {
        args.flags(["-s"]);
    }

    args.option("-kernel", files.kernel.as_os_str());
    args.option("-initrd", files.initrd.as_os_str());
    args.option("-append", kernel_command_line(plan));

    args.socket("qmp", sockets.qmp);
    args.option("-mon", "chardev=qmp,mode=control");
    args.socket("console", sockets.console);
    args.option("-serial", "chardev:console");
    args.socket("channel", sockets.channel);
    // The first port is for a console.  Queues of ports that nobody has would be polled each time
    // that anything happens.
    args.option("-device", "virtio-serial-pci,max_ports=2");
    args.option("-device", format!("virtserialport,chardev=channel,name={PORT_NAME}"));
    if features.has("virtio-rng-pci") {
        args.option("-object", "rng-builtin,id=rng");
        args.option("-device", "virtio-rng-pci,rng=rng");
    }

    args.option("-blockdev", blockdev::root(&files.root, disks.root_overlay).to_string());
    args.option("-device", "virtio-blk-pci,drive=root");
    args.option("-device", "virtio-scsi-pci,id=scsi");
    if let Some(memory) = plan.window {
        if let Some(fd) = memory {
            args.option("-add-fd", format!("fd={fd},set={}", blockdev::WINDOW_SET));
        }
        args.option("-blockdev", blockdev::window(memory.is_some()).to_string());
        args.option("-device", format!("virtio-blk-pci,drive=window,serial={WINDOW_SERIAL}"));
    }
    for (index, fd) in disks.sets.iter().enumerate() {
        args.option("-add-fd", format!("fd={},set={index}", fd.as_raw_fd()));
    }
    for (index, disk) in disks.disks.iter().enumerate() {
        if let Some(secret) = &disk.secret {
            args.option("-object", secret);
        }
        args.option("-blockdev", disk.tree.to_string());
        args.option("-device", scsi_disk(index, disk));
    }
    if config.network {
        args.option("-netdev", NETWORK);
        // No boot from it: the ROM isn't even installed everywhere.
        args.option("-device", "virtio-net-pci,netdev=net,romfile=");
    }
    for (name, value) in &config.hv_params {
        args.0.push(OsStr::from_bytes(name).to_owned());
        args.0.extend(value.iter().map(|it| OsStr::from_bytes(it).to_owned()));
    }
    args.0
}

/// The command line as it could be given to a shell.
pub(super) fn quoted(program: &OsStr, args: &[OsString]) -> BString {
    let safe = |it: &u8| it.is_ascii_alphanumeric() || b"-_./=,:+@%".contains(it);
    let words = std::iter::once(program).chain(args.iter().map(OsString::as_os_str)).map(|word| {
        let word = word.as_bytes();
        if !word.is_empty() && word.iter().all(safe) {
            return word.to_vec();
        }
        [b"'", word.replace(b"'", b"'\\''").as_slice(), b"'"].concat()
    });
    bstr::join(" ", words).into()
}

/// qemu under construction, word by word.
#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flags<const N: usize>(&mut self, flags: [&str; N]) {
        self.0.extend(flags.map(OsString::from));
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.extend([name.into(), value.as_ref().to_owned()]);
    }

    fn socket(&mut self, id: &str, fd: RawFd) {
        self.option("-chardev", format!("socket,id={id},fd={fd}"));
    }
}

/// A guest that takes over qemu gets little further.
fn sandbox(config: &Config) -> &'static str {
    if config.hv_params.is_empty() {
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    } else {
        // What the caller adds may need to start programs, as some network devices do.
        "on,obsolete=deny,elevateprivileges=deny,resourcecontrol=deny"
    }
}

fn machine(features: &Features, accel: Accel) -> String {
    let mut machine = format!("{},accel={}", features.machine, accel.name());
    for property in &features.unneeded {
        machine.push_str(&format!(",{property}=off"));
    }
    machine
}

fn kernel_command_line(plan: &Plan<'_>) -> OsString {
    let Plan { config, arch, accel, tsc_mhz, disks, .. } = plan;
    let mut words: Vec<BString> = vec![
        // With -no-reboot, a panic ends qemu.
        "panic=1".into(),
        format!("console={}", arch.console).into(),
    ];
    words.extend(arch.kernel_words.iter().map(|it| BString::from(*it)));
    let everywhere = [
        // A page of zeroes for each path, and a second look at each copy to a process, are a fifth
        // of the time of `du`.  No process of the appliance is to be kept from anything.
        "init_on_alloc=0",
        "hardened_usercopy=off",
        "printk.time=1",
        "cgroup_disable=memory",
        "usbcore.nousb",
        "cryptomgr.notests",
        "random.trust_cpu=on",
    ];
    words.extend(everywhere.map(BString::from));
    match accel {
        Accel::Kvm => {}
        Accel::Tcg => words.extend(arch.emulated_words.iter().map(|it| BString::from(*it))),
    }
    // A kernel that finds it out on a busy machine is wrong by so much that its clock runs away.
    words.extend(tsc_mhz.map(|it| format!("tsc_early_khz={it}000").into()));
    // The others have no rules here, and are asked all the same, for each file.
    let lsm = if config.selinux { "lsm=selinux selinux=1 enforcing=0" } else { "lsm= selinux=0" };
    words.push(lsm.into());
    words.push(if config.verbose { "guestfs_verbose=1" } else { "quiet" }.into());
    words.push("guestfs_root=/dev/vda".into());
    if disks.root_overlay.is_some() {
        words.push(foreign::ROOT_WORD.into());
    }
    if config.network {
        words.push("guestfs_network=1".into());
    }
    words.extend(config.append.clone());
    OsString::from_vec(bstr::join(" ", words))
}

fn memory_backend(config: &Config, fd: RawFd, share: bool) -> Value {
    json!({
        "qom-type": "memory-backend-file",
        "id": "memory",
        "size": i64::from(config.memsize_mb) << 20,
        "mem-path": format!("/proc/self/fd/{fd}"),
        "share": share,
    })
}

/// A device whose target number is the drive's, so that the guest sees them in order.  Errors of
/// the host, a full disk among them, are the guest's: the default is to stop it without a word.
fn scsi_disk(index: usize, disk: &Disk) -> String {
    let node = super::report::node_name(index);
    let mut device = format!(
        "scsi-hd,bus=scsi.0,scsi-id={index},lun=0,drive={node},werror=report,rerror=report"
    );
    if let Some(label) = &disk.label {
        device.push_str(&format!(",serial={label}"));
    }
    if let Some(size) = disk.block_size {
        device.push_str(&format!(",logical_block_size={size},physical_block_size={size}"));
    }
    device
}

#[cfg(test)]
mod tests {
    use super::super::arch;
    use super::*;

    fn features() -> Features {
        Features {
            version: [7, 2, 22],
            machine: "pc".into(),
            unneeded: vec!["usb".into(), "hpet".into()],
            devices: vec!["virtio-rng-pci".into(), "virtio-net-pci".into()],
            sandbox: true,
        }
    }

    /// The options of the line that hold one of the words.
    #[track_caller]
    fn check(config: &Config, disks: Vec<Disk>, words: &[&str], expected: &[&str]) {
        check_on(&arch::X86_64, config, disks, words, expected);
    }

    #[track_caller]
    fn check_on(arch: &Arch, config: &Config, disks: Vec<Disk>, words: &[&str], expected: &[&str]) {
        let files = Files {
            kernel: "/a/kernel".into(),
            initrd: "/a/initrd".into(),
            root: "/a/root".into(),
        };
        let plan = Plan {
            config,
            files: &files,
            features: &features(),
            arch,
            accel: Accel::Tcg,
            tsc_mhz: config.verbose.then_some(2596),
            disks: &Disks { disks, ..Default::default() },
            sockets: Sockets { channel: 3, console: 4, qmp: 5 },
            window: Some(Some(6)),
            memory: Memory::Own,
        };
        let line = quoted("qemu".as_ref(), &arguments(&plan)).to_string();
        let options: Vec<_> = line.split(" -").skip(1).collect();
        let chosen = options.iter().filter(|it| words.iter().any(|word| it.contains(word)));
        assert_eq!(chosen.copied().collect::<Vec<_>>(), expected, "{line}");
    }

    #[test]
    fn machine_and_kernel() {
        check(
            &Config::default(),
            vec![],
            &["machine", "cpu ", "kernel", "append", "sandbox"],
            &[
                "sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                "machine pc,accel=tcg,usb=off,hpet=off",
                "cpu max,-erms,-fsrm,-smap",
                "kernel /a/kernel",
                "append 'panic=1 console=ttyS0 edd=off no_timer_check tsc=reliable 8250.nr_uarts=1 \
             init_on_alloc=0 hardened_usercopy=off \
             printk.time=1 cgroup_disable=memory usbcore.nousb cryptomgr.notests \
             random.trust_cpu=on acpi=noirq module_blacklist=crc32c_intel clearcpuid=rep_good \
             lsm= selinux=0 quiet guestfs_root=/dev/vda'",
            ],
        );
    }

    #[test]
    fn settings() {
        let config = Config {
            verbose: true,
            network: true,
            selinux: true,
            identifier: "id".into(),
            append: Some("a=b c".into()),
            hv_params: vec![("-foo".into(), Some("it's".into())), ("-bar".into(), None)],
            ..Config::default()
        };
        check(
            &config,
            vec![],
            &["name guest", "append", "net", "foo", "bar"],
            &[
                "name guest=id",
                "append 'panic=1 console=ttyS0 edd=off no_timer_check tsc=reliable 8250.nr_uarts=1 \
             init_on_alloc=0 hardened_usercopy=off \
             printk.time=1 cgroup_disable=memory usbcore.nousb cryptomgr.notests \
             random.trust_cpu=on acpi=noirq module_blacklist=crc32c_intel clearcpuid=rep_good \
             tsc_early_khz=2596000 lsm=selinux selinux=1 enforcing=0 guestfs_verbose=1 \
             guestfs_root=/dev/vda guestfs_network=1 a=b c'",
                "netdev user,id=net,net=169.254.0.0/16",
                "device virtio-net-pci,netdev=net,romfile=",
                "foo 'it'\\''s'",
                "bar",
            ],
        );
    }

    #[test]
    fn another_processor() {
        check_on(
            &arch::AARCH64,
            &Config::default(),
            vec![],
            &["cpu ", "append"],
            &[
                "cpu max,pauth-impdef=on",
                "append 'panic=1 console=ttyAMA0 init_on_alloc=0 hardened_usercopy=off \
             printk.time=1 cgroup_disable=memory usbcore.nousb cryptomgr.notests \
             random.trust_cpu=on lsm= selinux=0 quiet guestfs_root=/dev/vda'",
            ],
        );
    }

    #[test]
    fn disks() {
        let disk = |label: Option<&str>, block_size| Disk {
            secret: None,
            tree: json!({"driver": "raw"}),
            label: label.map(Into::into),
            block_size,
        };
        let disks = vec![disk(None, None), disk(Some("data"), Some(4096))];
        check(
            &Config::default(),
            disks,
            &["scsi-hd"],
            &[
                "device scsi-hd,bus=scsi.0,scsi-id=0,lun=0,drive=drive0,werror=report,rerror=report",
                "device scsi-hd,bus=scsi.0,scsi-id=1,lun=0,drive=drive1,werror=report,rerror=report,\
             serial=data,logical_block_size=4096,physical_block_size=4096",
            ],
        );
    }
}
