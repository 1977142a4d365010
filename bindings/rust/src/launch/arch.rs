// SPDX-License-Identifier: LGPL-2.1-or-later
//! What differs between the processors that an appliance is for: a row each.

/// How a machine with some kind of processor is made and booted.
pub(super) struct Arch {
    /// Names of its qemu in the search path, best first.
    pub programs: &'static [&'static str],
    /// Where some distributions put it instead.
    pub hidden: &'static [&'static str],
    /// What packages of Debian call the directory of its libraries.
    pub multiarch: &'static str,
    /// qemu's machine types the appliance runs on, best first.
    pub machines: &'static [&'static str],
    /// The processor to show to the guest when it is emulated.
    pub emulated_cpu: &'static str,
    /// The kernel's name of the first serial port.
    pub console: &'static str,
    /// What only this kind of kernel has to be told.
    pub kernel_words: &'static [&'static str],
    /// What it has to be told when it is emulated.
    pub emulated_words: &'static [&'static str],
}

/// The processor this library was compiled for, which is that of its appliance.
pub(super) const HOST: &Arch = if cfg!(target_arch = "aarch64") { &AARCH64 } else { &X86_64 };

/// The kernel is an ELF file, booted by PVH.
pub(super) const X86_64: Arch = Arch {
    programs: &["qemu-system-x86_64", "qemu-kvm"],
    hidden: &["/usr/libexec/qemu-kvm", "/usr/lib/qemu/qemu-system-x86_64"],
    multiarch: "x86_64-linux-gnu",
    // microvm boots a sixth faster, and restores no faster: docs/PERFORMANCE.md.
    machines: &["pc", "q35"],
    // With erms and fsrm the kernel copies by `rep movsb`, which is emulated byte by byte.  With
    // smap there is an instruction before and after each access to memory of a process, and after
    // each of these the emulator has to find out how to go on.
    emulated_cpu: "max,-erms,-fsrm,-smap",
    console: "ttyS0",
    kernel_words: &["edd=off", "no_timer_check", "tsc=reliable", "8250.nr_uarts=1"],
    // Interrupts are routed by the firmware's byte code, which an interpreter in an emulator
    // takes a quarter of the boot for; the plain table of former times says the same.
    //
    // The instruction for checksums is emulated bit by bit: filesystems make files a third faster
    // with tables.  The processor keeps it, as programs of some guests do not run without.
    //
    // `rep movsq` and its like are emulated word by word, which a loop does better.
    emulated_words: &["acpi=noirq", "module_blacklist=crc32c_intel", "clearcpuid=rep_good"],
};

/// The kernel is an `Image` as Debian has it.  Nobody has run an appliance on this one yet; that
/// Debian's kernel boots in such a machine has been seen.
pub(super) const AARCH64: Arch = Arch {
    programs: &["qemu-system-aarch64", "qemu-kvm"],
    hidden: &["/usr/libexec/qemu-kvm"],
    multiarch: "aarch64-linux-gnu",
    machines: &["virt"],
    // Pointers are authenticated by a cipher, which emulation may replace by a cheaper one.
    emulated_cpu: "max,pauth-impdef=on",
    console: "ttyAMA0",
    kernel_words: &[],
    emulated_words: &[],
};
