// SPDX-License-Identifier: LGPL-2.1-or-later
//! Launches that go on from a saved appliance: as good as a boot, and never instead of an answer.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guestfs::bstr::BString;
use guestfs::{AddDriveOptions, AddDriveScratchOptions, Events, Handle, Payload};
use tempfile::TempDir;

use crate::support::{
    Running, add_raw, appliance, as_nobody, bytes, handle, program, refused, run, session, sparse,
};

const MIB: i64 = 1 << 20;

/// A cache directory of the test's own.
struct Cache(TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// One that has a template for handles whose settings are the defaults.
    fn warm() -> Self {
        let cache = Self::new();
        cache.launched(|_| ()).close().expect("close");
        cache.template();
        cache
    }

    fn handle(&self) -> Handle {
        let g = handle();
        g.set_cachedir(Some(bytes(self.0.path()))).expect("set_cachedir");
        g.set_verbose(false).expect("set_verbose");
        g
    }

    /// A launched handle with the drives that are added, or with a small one if there are none.
    #[track_caller]
    fn launched(&self, add: impl FnOnce(&Handle)) -> Handle {
        let g = self.handle();
        add(&g);
        g.add_drive_scratch(512 * MIB, &Default::default()).expect("a disk");
        g.launch().unwrap_or_else(|err| panic!("{err}"));
        g
    }

    fn private(&self) -> PathBuf {
        self.0.path().join(format!(".guestfs-{}", nix::unistd::geteuid()))
    }

    fn templates(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.private()) else { return Vec::new() };
        let paths = entries.map(|it| it.expect("an entry").path());
        paths.filter(|it| it.is_dir()).collect()
    }

    /// The one there is.
    #[track_caller]
    fn template(&self) -> PathBuf {
        let [template] = self.templates().try_into().expect("one template");
        template
    }
}

/// Whether the machine goes on from a template: then it was told that a state is to come.
#[track_caller]
pub(super) fn is_restored(g: &Handle) -> bool {
    let pid = g.get_pid().expect("get_pid");
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).expect("the arguments");
    arguments.split(|it| *it == 0).any(|it| it == b"-incoming")
}

const LUKS: &str = "printf key | cryptsetup luksFormat --type luks2 --pbkdf pbkdf2 \
                    --pbkdf-force-iterations 1000 -q /dev/sda -";

fn part_uuid(facts: Vec<(BString, BString)>) -> String {
    let uuid = facts.into_iter().find(|(name, _)| name == "PART_ENTRY_UUID");
    uuid.map(|(_, uuid)| uuid.to_string()).unwrap_or_default()
}

fn shell(g: &Handle, command: &str) -> String {
    let printed = g.debug("sh", &[command]).unwrap_or_else(|err| panic!("{command}: {err}"));
    printed.to_string().trim().to_owned()
}

#[test]
fn what_a_verbose_handle_says() {
    /// What is said of the launch and by the appliance, and how far it is each time.
    #[track_caller]
    fn check(cache: &Cache, setting: &str, said: &[&str], unsaid: &[&str]) {
        let g = cache.handle();
        g.set_verbose(true).expect("set_verbose");
        g.set_backend_settings(&[setting]).expect("set_backend_settings");
        let log = Arc::new(Mutex::new((String::new(), vec![])));
        let ours = log.clone();
        let id = g.set_event_callback(Events::ALL, move |_, event, _, payload| {
            let mut log = ours.lock().expect("the log");
            match (event, payload) {
                (Events::APPLIANCE, Payload::Buf(text)) => {
                    log.0.push_str(&String::from_utf8_lossy(text));
                }
                (Events::LIBRARY, Payload::Buf(text)) => {
                    log.0.push_str(&String::from_utf8_lossy(text));
                    log.0.push('\n');
                }
                (Events::PROGRESS, Payload::Array(numbers)) => log.1.extend(numbers.get(2)),
                _ => {}
            }
        });
        g.launch().expect("launch");
        g.delete_event_callback(id);
        let (text, progress) = log.lock().expect("the log").clone();
        for words in said {
            assert!(text.contains(words), "{words:?} is missing in\n{text}");
        }
        for words in unsaid {
            assert!(!text.contains(words), "{words:?} is in\n{text}");
        }
        assert!(progress.is_sorted() && progress.first() == Some(&0), "{progress:?}");
        assert_eq!(progress.last(), Some(&12));
    }
    let cache = Cache::new();
    let restored = "restored from a template in ";
    let kernel = "Linux version ";
    let replayed = "what the template said when it was booted";
    let made = ["making a template", "template made in ", "state loaded after ", restored, kernel];
    check(&cache, "template=1", &made, &["booted in", replayed]);
    check(&cache, "template", &[restored, replayed, kernel], &["making a template", "booted in"]);
    check(&cache, "other=1", &[restored, replayed, kernel], &["making a template", "booted in"]);
    let off = "no template: the backend setting template is 0";
    check(&cache, "template=0", &[off, "booted in ", kernel], &["restored", "making", replayed]);
}

#[test]
fn a_restored_appliance_has_a_network() {
    let cache = Cache::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = listener.local_addr().expect("its address").port();
    let heard = Running::start(move || {
        let accept = || -> std::io::Result<String> {
            let mut text = String::new();
            listener.accept()?.0.read_to_string(&mut text)?;
            Ok(text)
        };
        [accept(), accept()].map(|it| it.expect("a connection"))
    });
    for message in ["one", "two"] {
        let g = cache.launched(|g| g.set_network(true).expect("set_network"));
        assert!(is_restored(&g));
        // The host's own address, in the network that qemu makes.
        let command = format!("bash -c 'printf {message} >/dev/tcp/169.254.2.2/{port}'");
        shell(&g, &command);
    }
    assert_eq!(heard.end(), ["one", "two"]);
    // Without a network it is another template.
    assert!(is_restored(&cache.launched(|_| ())));
    assert_eq!(cache.templates().len(), 2);
}

/// A name for the handle is for those who look at the host.
#[test]
fn one_template_for_all_names() {
    let cache = Cache::warm();
    let template = cache.template();
    let g = cache.launched(|g| g.set_identifier("another-one").expect("set_identifier"));
    assert!(is_restored(&g));
    assert_eq!(cache.template(), template);
    let arguments = format!("/proc/{}/cmdline", g.get_pid().expect("get_pid"));
    let arguments = fs::read(arguments).expect("the arguments");
    assert!(arguments.split(|it| *it == 0).any(|it| it == b"guest=another-one"));
}

#[test]
fn clones_have_nothing_random_in_common() {
    let cache = Arc::new(Cache::warm());
    let clone = || {
        let cache = cache.clone();
        Running::start(move || {
            let g = cache.launched(|_| ());
            assert!(is_restored(&g));
            let mut random = vec![
                shell(&g, "cat /proc/sys/kernel/random/uuid"),
                shell(&g, "cat /proc/sys/kernel/random/boot_id"),
                shell(&g, "od -An -tx8 -N8 /dev/urandom"),
            ];
            g.pvcreate("/dev/sda").expect("pvcreate");
            let volumes = g.pvs_full().expect("pvs_full");
            random.push(String::from_utf8_lossy(&volumes[0].pv_uuid).into_owned());
            g.pvremove("/dev/sda").expect("pvremove");
            g.vgcreate("VG", &["/dev/sda"]).expect("vgcreate");
            g.lvcreate("LV", "VG", 32).expect("lvcreate");
            random.push(shell(&g, "lvm vgs --noheadings -o vg_uuid"));
            random.push(shell(&g, "lvm lvs --noheadings -o lv_uuid"));
            g.vgremove("VG").expect("vgremove");
            g.wipefs("/dev/sda").expect("wipefs");
            // The salts are those of the key and of its digest.
            shell(&g, LUKS);
            random.push(shell(&g, "cryptsetup luksUUID /dev/sda"));
            random.push(shell(&g, "cryptsetup luksDump /dev/sda | grep -A1 Salt: | md5sum"));
            g.wipefs("/dev/sda").expect("wipefs");
            shell(&g, "mdadm --create --run -l 1 -n 2 --force /dev/md/x /dev/sda missing");
            random.push(shell(&g, "mdadm --detail --export /dev/md/x | grep MD_UUID"));
            shell(&g, "mdadm --stop /dev/md/x");
            g.wipefs("/dev/sda").expect("wipefs");
            g.part_disk("/dev/sda", "gpt").expect("part_disk");
            random.push(g.blkid("/dev/sda1").map(part_uuid).expect("blkid"));
            random.push(shell(&g, "mkswap /dev/sda1 | grep -o 'UUID=.*'"));
            random.push(shell(&g, "mktemp -u XXXXXXXXXX"));
            g.wipefs("/dev/sda").expect("wipefs");
            for fstype in ["vfat", "ntfs", "xfs", "btrfs", "ext4"] {
                g.mkfs(fstype, "/dev/sda", &Default::default()).expect("mkfs");
                random.push(g.vfs_uuid("/dev/sda").expect("vfs_uuid").to_string());
            }
            g.mount("/dev/sda", "/").expect("mount");
            random.push(g.mkdtemp("/XXXXXX").expect("mkdtemp").to_string());
            random
        })
    };
    // At the same moment, as near as can be.
    let clones = [clone(), clone()];
    let random: Vec<_> = clones.into_iter().flat_map(Running::end).collect();
    let different: HashSet<_> = random.iter().collect();
    assert_eq!(different.len(), random.len(), "{random:#?}");
    assert!(random.iter().all(|it| !it.is_empty()), "{random:#?}");
}

#[test]
fn the_clock_is_that_of_the_host() {
    let cache = Cache::warm();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("1970 is over");
    let before = now();
    let g = cache.launched(|_| ());
    assert!(is_restored(&g));
    let text = shell(&g, "date +%s%N");
    let guest = Duration::from_nanos(text.parse().expect("a number"));
    // A clock that nobody has set is where it was when the template was saved.
    let after = now() + Duration::from_secs(1);
    assert!(before <= guest && guest <= after, "{before:?} {guest:?} {after:?}");
}

/// The clock of the machine that is saved is years behind.
#[test]
fn an_old_template_has_no_old_clock() {
    let cache = Cache::new();
    let dir = tempfile::tempdir().expect("a directory");
    let script = "#!/bin/sh\n\
                  case \" $* \" in\n\
                  *' -incoming '*) exec \"$QEMU\" \"$@\" ;;\n\
                  *) exec \"$QEMU\" -rtc base=2020-02-02T02:02:02 \"$@\" ;;\n\
                  esac\n";
    let qemu = cache.handle().get_hv().expect("get_hv").to_string();
    let hv = program(dir.path(), "qemu", &script.replace("$QEMU", &qemu));
    let year = |setting: &str| {
        let g = cache.launched(|g| {
            g.set_hv(bytes(&hv)).expect("set_hv");
            g.set_backend_settings(&[setting]).expect("set_backend_settings");
        });
        (is_restored(&g), shell(&g, "date +%Y"))
    };
    assert_eq!(year("template=0"), (false, "2020".to_owned()));
    let (is_restored, year) = year("template=1");
    assert!(is_restored);
    assert!(year.as_str() > "2020", "{year}");
}

#[test]
fn drives_in_the_order_in_which_they_were_added() {
    let cache = Cache::warm();
    for n_drives in [1, 5, 40] {
        let size = |index: i64| MIB + 512 * index;
        let g = cache.handle();
        for index in 0..n_drives {
            g.add_drive_scratch(size(index), &Default::default()).expect("a disk");
        }
        g.launch().expect("launch");
        assert!(is_restored(&g));
        let devices = g.list_devices().expect("list_devices");
        let sizes: Vec<_> = devices
            .iter()
            .map(|it| g.blockdev_getsize64(it).expect("blockdev_getsize64"))
            .collect();
        assert_eq!(sizes, (0..n_drives).map(size).collect::<Vec<_>>());
        assert_eq!(devices[0], "/dev/sda");
    }
}

#[test]
fn drives_of_all_kinds() {
    let cache = Cache::warm();
    let dir = tempfile::tempdir().expect("a directory");
    let image = sparse(dir.path().join("image"), 3 << 20);
    let g = cache.handle();
    let large = AddDriveScratchOptions {
        blocksize: Some(4096),
        label: Some("large".into()),
        ..Default::default()
    };
    g.add_drive_scratch(2 * MIB, &large).expect("a disk");
    let readonly = AddDriveOptions {
        readonly: Some(true),
        format: Some("raw".into()),
        label: Some("old".into()),
        ..Default::default()
    };
    g.add_drive(bytes(&image), &readonly).expect("a read-only disk");
    g.launch().expect("launch");
    assert!(is_restored(&g));
    assert_eq!(g.blockdev_getss("/dev/disk/guestfs/large").expect("sector size"), 4096);
    assert_eq!(g.blockdev_getss("/dev/sdb").expect("sector size"), 512);
    let size = g.blockdev_getsize64("/dev/disk/guestfs/old").expect("size");
    assert_eq!(size, 3 * MIB);
    g.part_disk("/dev/sdb", "mbr").expect("part_disk");
    g.close().expect("close");
    let mut head = [1; 512];
    File::open(image).and_then(|it| it.read_exact_at(&mut head, 0)).expect("read");
    assert_eq!(head, [0; 512]);
}

#[test]
fn volumes_are_active() {
    let cache = Cache::warm();
    let dir = tempfile::tempdir().expect("a directory");
    let image = sparse(dir.path().join("image"), 128 << 20);
    let g = cache.launched(|g| add_raw(g, &image));
    g.part_disk("/dev/sda", "gpt").expect("part_disk");
    g.pvcreate("/dev/sda1").expect("pvcreate");
    g.vgcreate("VG", &["/dev/sda1"]).expect("vgcreate");
    g.lvcreate("LV", "VG", 64).expect("lvcreate");
    g.mkfs("ext4", "/dev/VG/LV", &Default::default()).expect("mkfs");
    g.close().expect("close");
    let g = cache.launched(|g| add_raw(g, &image));
    assert!(is_restored(&g));
    assert_eq!(g.lvs().expect("lvs"), ["/dev/VG/LV"]);
    g.mount("/dev/VG/LV", "/").expect("mount");
}

/// Changes what is in a file, and not what can be seen from outside.
fn scramble(file: &Path) {
    let it = OpenOptions::new().write(true).open(file).expect("a file");
    let before = it.metadata().expect("its size");
    let n_bytes = before.len().min(1 << 20) as usize;
    it.write_all_at(&vec![0x55; n_bytes], before.len() / 2 - n_bytes as u64 / 2).expect("write");
    it.write_all_at(&vec![0x55; n_bytes / 4], 0).expect("write");
    it.set_modified(before.modified().expect("a time")).expect("set_modified");
}

#[test]
fn a_template_that_does_not_work_is_tried_once() {
    let cache = Cache::warm();
    scramble(&cache.template().join("state"));
    let g = cache.launched(|_| ());
    assert!(!is_restored(&g));
    assert_eq!(g.list_devices().expect("list_devices"), ["/dev/sda"]);
    assert!(cache.templates().is_empty());

    // The next launch makes one that works.  Its memory is wiped out.
    assert!(is_restored(&cache.launched(|_| ())));
    let memory = cache.template().join("memory");
    let it = OpenOptions::new().write(true).open(&memory).expect("a file");
    let before = it.metadata().expect("its size");
    it.set_len(0).and_then(|()| it.set_len(before.len())).expect("set_len");
    it.set_modified(before.modified().expect("a time")).expect("set_modified");
    assert!(!is_restored(&cache.launched(|_| ())));
    assert!(cache.templates().is_empty());
}

#[test]
fn a_template_that_was_changed_is_made_anew() {
    let cache = Cache::warm();
    let inode = |name: &str| fs::metadata(cache.template().join(name)).expect("a file").ino();
    let check = |name: &str, change: &dyn Fn(&Path)| {
        let before = inode(name);
        // It is still there, so its number is not given to another one.
        let file = File::open(cache.template().join(name)).expect("a file");
        change(&cache.template().join(name));
        let g = cache.launched(|_| ());
        assert!(is_restored(&g), "{name}");
        assert_ne!(inode(name), before, "{name}");
        drop(file);
    };
    check("memory", &|it| {
        let file = OpenOptions::new().write(true).open(it).expect("a file");
        file.set_len(1 << 20).expect("set_len");
    });
    if nix::unistd::geteuid().is_root() {
        // Somebody else has put it there.
        check("state", &|it| std::os::unix::fs::chown(it, Some(65534), None).expect("chown"));
    }
}

#[test]
fn without_a_place_for_templates() {
    #[track_caller]
    fn check(cachedir: &Path) {
        let mut command = session("write-and-read");
        command.env("LIBGUESTFS_CACHEDIR", cachedir).env_remove("LIBGUESTFS_DEBUG");
        assert_eq!(run(as_nobody(&mut command)), "content\n");
    }
    // Nobody may make a directory in there, not even root.
    check(Path::new("/proc"));
    let dir = tempfile::tempdir().expect("a directory");
    let place = |name: &str, mode| {
        let path = dir.path().join(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        path
    };
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
    check(&place("closed", 0o000));
}

/// The directory is somebody else's, who may replace what is in there.
#[test]
fn in_a_place_that_belongs_to_everybody() {
    let cache = Cache::new();
    fs::set_permissions(cache.0.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(cache.0.path(), Some(65534), None).expect("chown");
        // What they have put there first is not used, and nothing is written to it.
        fs::create_dir(cache.private()).expect("a directory");
        std::os::unix::fs::chown(cache.private(), Some(65534), None).expect("chown");
        assert!(!is_restored(&cache.launched(|_| ())));
        assert_eq!(fs::read_dir(cache.private()).expect("a directory").count(), 0);
        fs::remove_dir(cache.private()).expect("remove_dir");
    }
    cache.launched(|_| ()).close().expect("close");
    let template = cache.template();
    for path in [cache.private(), template.clone()] {
        assert_eq!(fs::metadata(&path).expect("a directory").mode() & 0o7777, 0o700, "{path:?}");
    }
    for name in ["memory", "state", "key"] {
        let mode = fs::metadata(template.join(name)).expect("a file").mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn eight_programs_begin_at_once() {
    let cache = Cache::new();
    let start = |_| -> Child {
        let mut command = session("write-and-read");
        command.env("LIBGUESTFS_CACHEDIR", cache.0.path()).env_remove("LIBGUESTFS_DEBUG");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a session")
    };
    let programs: Vec<_> = (0..8).map(start).collect();
    for program in programs {
        let output = program.wait_with_output().expect("a session");
        let (stdout, stderr) = (output.stdout, output.stderr);
        assert_eq!(String::from_utf8_lossy(&stdout), "content\n", "{}", stderr.escape_ascii());
    }
    cache.template();
    let entries = fs::read_dir(cache.private()).expect("the cache");
    for name in entries.map(|it| it.expect("an entry").file_name()) {
        let name = name.to_string_lossy();
        assert!(!name.starts_with('.') && !name.contains("new"), "left over: {name}");
    }
}

#[test]
fn another_appliance_has_another_template() {
    let cache = Cache::new();
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["kernel", "root"] {
        let original = Path::new(&appliance()).join(name);
        std::os::unix::fs::symlink(original, dir.path().join(name)).expect("symlink");
    }
    let initrd = dir.path().join("initrd");
    fs::copy(Path::new(&appliance()).join("initrd"), &initrd).expect("copy");
    let launch = || {
        let g = cache.launched(|g| g.set_path(Some(bytes(dir.path()))).expect("set_path"));
        assert!(is_restored(&g));
        cache.template()
    };
    let first = launch();
    assert_eq!(launch(), first);
    let file = File::options().write(true).open(&initrd).expect("initrd");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("set_modified");
    // Nobody will want the first one again: it is gone.
    let second = launch();
    assert_ne!(second, first);
    assert_eq!(launch(), second);
}

#[test]
fn drives_that_are_refused_are_not_the_fault_of_the_template() {
    let cache = Cache::warm();
    let template = cache.template();
    let dir = tempfile::tempdir().expect("a directory");
    let image = sparse(dir.path().join("image"), 1 << 20);

    #[track_caller]
    fn check(cache: &Cache, image: &Path, format: &str, says: &[&str]) {
        for settings in [&["template=1"][..], &["template=0"]] {
            let g = cache.handle();
            g.set_backend_settings(settings).expect("set_backend_settings");
            let format = Some(format.into());
            let options = AddDriveOptions { format, ..Default::default() };
            g.add_drive(bytes(image), &options).expect("add_drive");
            let result = g.launch();
            for says in says {
                refused(result.clone(), says);
            }
        }
    }
    let image_text = image.to_str().expect("text");
    check(&cache, &image, "qcow2", &[image_text, "not in qcow2 format", "name the format"]);

    let owner = cache.launched(|g| add_raw(g, &image));
    assert!(is_restored(&owner));
    check(&cache, &image, "raw", &[image_text, "lock", "another process has the disk open"]);
    assert_eq!(cache.template(), template);
    assert!(is_restored(&cache.launched(|_| ())));
}

#[test]
fn a_restored_appliance_tells_what_it_dies_of() {
    let cache = Cache::warm();
    let g = cache.launched(|_| ());
    assert!(is_restored(&g));
    let g = Arc::new(g);
    let dying = g.clone();
    let result = Running::start(move || dying.debug("sh", &["echo c >/proc/sysrq-trigger"])).end();
    refused(result, "Kernel panic - not syncing: sysrq");
    assert_eq!(g.is_config(), Ok(true));
    g.add_drive_scratch(MIB, &Default::default()).expect("a disk");
    g.launch().expect("a second launch");
    assert!(is_restored(&g));
}
