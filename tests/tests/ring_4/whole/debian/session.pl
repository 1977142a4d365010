# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A session of Debian's Sys::Guestfs: each kind of argument, option, result, error and event.

use strict;
use warnings;

use Sys::Guestfs;

my $g = Sys::Guestfs->new ();
my (@events, @trace);
$g->set_event_callback (sub { push @events, $_[0] },
                        $Sys::Guestfs::EVENT_LAUNCH_DONE | $Sys::Guestfs::EVENT_CLOSE);
$g->disk_create ("perl.img", "raw", 64 * 1024 * 1024, preallocation => "sparse");
$g->add_drive ("perl.img", format => "raw", readonly => 0);
$g->launch ();

$g->part_disk ("/dev/sda", "mbr");
$g->mkfs ("ext4", "/dev/sda1", label => "PERL", blocksize => 4096);
my %filesystems = $g->list_filesystems ();
print join (" ", %filesystems), "\n";
my @partitions = $g->part_list ("/dev/sda");
print "partition $partitions[0]->{part_num} of ", scalar @partitions, "\n";
$g->mount ("/dev/sda1", "/");

my $id = $g->set_event_callback (sub { push @trace, $_[2] }, $Sys::Guestfs::EVENT_TRACE);
$g->set_trace (1);
$g->mkdir ("/dir");
$g->set_trace (0);
$g->delete_event_callback ($id);
print join (" | ", @trace), "\n";

$g->write ("/dir/file", "x\0y");
print length ($g->read_file ("/dir/file")), " bytes\n";
my %stat = $g->statns ("/dir/file");
print "size $stat{st_size}\n";
print join (" ", sort map { $_->{name} } $g->readdir ("/dir")), "\n";
print join (" ", $g->ls ("/")), "\n";
print $g->is_dir ("/dir") ? "a directory" : "no directory", "\n";
print $g->checksum ("md5", "/dir/file"), "\n";
$g->write ("/lines", "one\ntwo\n");
print join (" ", $g->read_lines ("/lines")), "\n";

eval { $g->cat ("/missing") };
print $@ =~ /^(cat: \/missing: No such file or directory)/, "\n";
print "errno ", $g->last_errno (), "\n";
eval { $g->mkfs ("ext4", "/dev/sda1", nonsense => 1) };
print $@ =~ /(unknown optional argument)/, "\n";

$g->shutdown ();
$g->close ();
print "events @events\n";
