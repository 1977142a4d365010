// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a handle tells while it works, and several threads that use it.

use std::sync::{Arc, Mutex};
use std::thread;

use bstr::ByteSlice;
use guestfs::{Events, Handle, Payload};

use crate::support::{handle, refused, with_ext4, with_scratch};

type Log = Arc<Mutex<Vec<(Events, String)>>>;

/// Writes down what happens to the handle.
fn record(g: &Handle, events: Events) -> Log {
    let log = Log::default();
    let ours = log.clone();
    g.set_event_callback(events, move |_, event, _, payload| {
        let text = match payload {
            Payload::None => String::new(),
            Payload::Buf(text) => text.to_str_lossy().into_owned(),
            Payload::Array(numbers) => format!("{numbers:?}"),
        };
        ours.lock().expect("the log").push((event, text));
    });
    log
}

#[test]
fn the_order_of_a_session() {
    let g = handle();
    g.add_drive_scratch(1 << 20, &Default::default()).expect("a disk");
    let log = record(
        &g,
        Events::ENTER
            | Events::TRACE
            | Events::LAUNCH_DONE
            | Events::SUBPROCESS_QUIT
            | Events::CLOSE,
    );
    g.set_trace(true).expect("set_trace");
    g.launch().expect("launch");
    g.ping_daemon().expect("ping_daemon");
    refused(g.cat("/x"), "EINVAL cat: ");
    g.close().expect("close");
    let log = log.lock().expect("the log");
    let got: Vec<_> = log.iter().map(|(event, text)| format!("{event} {text}")).collect();
    assert_eq!(
        got,
        [
            "enter set_trace",
            "enter launch",
            "trace launch",
            "launch_done ",
            "trace launch = 0",
            "enter ping_daemon",
            "trace ping_daemon",
            "trace ping_daemon = 0",
            "enter cat",
            "trace cat \"/x\"",
            "trace cat = NULL (error)",
            "trace close",
            "subprocess_quit ",
            "close ",
        ]
    );
}

#[test]
fn a_verbose_session() {
    let g = handle();
    g.add_drive_scratch(64 << 20, &Default::default()).expect("a disk");
    g.set_verbose(true).expect("set_verbose");
    let console = record(&g, Events::APPLIANCE);
    let library = record(&g, Events::LIBRARY);
    let steps = record(&g, Events::PROGRESS);
    g.launch().expect("launch");
    g.mkfs("ext4", "/dev/sda", &Default::default()).expect("mkfs");
    g.close().expect("close");
    let all = |log: Log| log.lock().expect("the log").iter().map(|it| &*it.1).collect::<String>();
    let console = all(console);
    assert!(console.contains("Linux version "), "the kernel's first words are not in {console}");
    // What the daemon runs shows in its log.
    assert!(console.contains("mke2fs") || console.contains("mkfs"), "no mkfs in {console}");
    let library = all(library);
    assert!(library.contains("appliance: ") && library.contains("-device"), "{library}");
    let steps = steps.lock().expect("the log");
    assert!(steps.iter().any(|it| it.1 == "[0, 0, 0, 12]"), "{steps:?}");
    assert!(steps.iter().any(|it| it.1 == "[0, 0, 12, 12]"), "{steps:?}");
}

/// Short calls say nothing; this one is long on any machine.
#[test]
fn a_long_call_tells_how_far_it_is() {
    let g = with_scratch(1 << 20);
    let steps = Arc::new(Mutex::new(Vec::new()));
    let ours = steps.clone();
    g.set_event_callback(Events::PROGRESS, move |_, _, _, payload| {
        if let Payload::Array(&[procedure, serial, position, total]) = payload {
            ours.lock().expect("the log").push((procedure, serial, position, total));
        }
    });
    g.debug("progress", &["5"]).expect("debug");
    let steps = steps.lock().expect("the log");
    let (procedure, serial, position, total) = *steps.last().expect("a step");
    assert_eq!((position, total), (50, 50));
    assert!(steps.iter().all(|it| (it.0, it.1, it.3) == (procedure, serial, total)), "{steps:?}");
    assert!(steps.is_sorted_by_key(|it| it.2), "{steps:?}");
}

#[test]
fn callbacks_may_use_the_handle() {
    let g = with_scratch(1 << 20);
    let answers = Arc::new(Mutex::new(Vec::new()));
    let ours = answers.clone();
    g.set_event_callback(Events::ENTER, move |g, _, id, _| {
        g.delete_event_callback(id);
        let mut answers = ours.lock().expect("the log");
        answers.push(g.get_pid().map(|it| it > 0));
        answers.push(g.nr_devices().map(|it| it == 1));
    });
    g.ping_daemon().expect("ping_daemon");
    assert_eq!(*answers.lock().expect("the log"), [Ok(true), Ok(true)]);
}

#[test]
fn calls_of_several_threads_queue() {
    let g = with_ext4(64 << 20);
    let entered = record(&g, Events::ENTER);
    thread::scope(|scope| {
        for number in 0..4 {
            let g = &g;
            scope.spawn(move || {
                let name = format!("/file{number}");
                for round in 0..50 {
                    let content = format!("{number} {round}").repeat(1000);
                    g.write(&name, content.as_bytes()).expect("write");
                    assert_eq!(g.cat(&name).expect("cat"), content);
                }
            });
        }
    });
    let entered = entered.lock().expect("the log");
    let count = |name| entered.iter().filter(|it| it.1 == name).count();
    assert_eq!((count("write"), count("cat")), (200, 200));
}

#[test]
fn two_handles_do_not_mix() {
    let session = |name: &'static str| {
        move || {
            let g = with_ext4(64 << 20);
            let entered = record(&g, Events::ALL);
            for round in 0..50 {
                g.write(format!("/{name}"), format!("{name} {round}").as_bytes()).expect("write");
            }
            let names = g.find("/").expect("find");
            assert!(names.iter().any(|it| it == name), "{names:?}");
            assert_eq!(g.cat(format!("/{name}")).expect("cat"), format!("{name} 49"));
            let pid = g.get_pid().expect("get_pid");
            let entered = entered.lock().expect("the log");
            let writes = entered.iter().filter(|it| it.1 == "write").count();
            (names, writes, pid)
        }
    };
    let (one, two) = (thread::spawn(session("one")), thread::spawn(session("two")));
    let (one, two) = (one.join().expect("one"), two.join().expect("two"));
    assert_eq!((one.1, two.1), (50, 50));
    assert_ne!(one.2, two.2, "they have an appliance each");
    assert!(!one.0.iter().any(|it| it == "two") && !two.0.iter().any(|it| it == "one"));
}
