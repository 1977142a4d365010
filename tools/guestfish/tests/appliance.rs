// SPDX-License-Identifier: LGPL-2.1-or-later
//! Sessions with the appliance.

mod common;

mod appliance {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use crate::common::Place;

    const FORMAT: &str = "\
sparse disk.img 64M
run
part-disk /dev/sda mbr
mkfs ext4 /dev/sda1 label:\"my data\"
mount /dev/sda1 /
mkdir /dir
";

    #[test]
    fn files_go_in_and_out() {
        let place = Place::new();
        fs::create_dir(place.path("tree")).unwrap();
        fs::write(place.path("tree/x"), "x\n").unwrap();
        fs::write(place.path("single"), "single\n").unwrap();
        fs::set_permissions(place.path("single"), fs::Permissions::from_mode(0o640)).unwrap();
        let script = FORMAT.to_owned()
            + "\
vfs-label /dev/sda1
upload -<<END /dir/doc
one
two
END
cat /dir/doc
download /dir/doc - | tr a-z A-Z
download /dir/doc \"|wc -l\"
copy-in tree single /dir
is-file /dir/tree/x
stat /dir/single | grep mode
copy-out /dir/tree /dir/doc .
copy-out /dir .
glob cat /dir/tree/*
glob echo /dev/sd*
setenv EDITOR \"sed -i s/one/1/\"
edit /dir/doc
cat /dir/doc
setenv PAGER \"tr o 0\"
more /dir/doc
get-umask
";
        let expected = "\
my data
one
two

ONE
TWO
2
true
mode: 33184
x

/dev/sda
/dev/sda1
1
two

1
tw0
022
";
        place.check(&[], &script, expected);
        assert_eq!(fs::read_to_string(place.path("tree/x")).unwrap(), "x\n");
        assert_eq!(fs::read_to_string(place.path("doc")).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(place.path("dir/single")).unwrap(), "single\n");
    }

    #[test]
    fn disks_are_read_only_unless_asked() {
        let place = Place::new();
        place.check(&[], FORMAT, "");
        let before = fs::read(place.path("disk.img")).unwrap();
        // The appliance may write; what it writes is gone afterwards.
        let words = ["disk.img", "run", ":", "mount", "/dev/sda1", "/", ":", "touch", "/new"];
        place.check(&words, "", "");
        assert!(fs::read(place.path("disk.img")).unwrap() == before);
        // Mounted by the option, not even that.
        let words = ["-a", "disk.img", "-m", "/dev/sda1", "touch", "/new"];
        let (status, _, stderr) = place.run(&words, "");
        assert_eq!(status, 1);
        assert!(stderr.contains("Read-only file system"), "{stderr}");
        let words = ["--rw", "-a", "disk.img", "-m", "/dev/sda1", "touch", "/new"];
        place.check(&words, "", "");
        let words = ["--format=raw", "-a", "disk.img", "-m", "/dev/sda1:/", "exists", "/new"];
        place.check(&words, "", "true\n");
        fs::write(place.path(".libguestfs-tools.rc"), "read_only = false;\n").unwrap();
        let words = ["-m", "/dev/sda1", "disk.img", "rm", "/new"];
        place.check(&words, "", "");
    }
}
