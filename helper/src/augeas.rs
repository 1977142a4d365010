// SPDX-License-Identifier: LGPL-2.1-or-later
//! libaugeas, on the files of a guest.
//!
//! Its lenses are files of the appliance, and all else that it opens are files of the guest.  So
//! the lenses are found through the current directory, which stays where it is when the root
//! changes.  The root is that of the guest only while a function runs: a process that keeps it
//! would keep the filesystem busy.
#![expect(unsafe_code, reason = "the functions are of C")]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::ptr::{null, null_mut};
use std::time::{SystemTime, UNIX_EPOCH};

use guestfs_helper::Message;
use rustix::fs::{Mode, OFlags};
use rustix::process::{chdir, chroot, fchdir};

use crate::attributes::Attributes;
use crate::library::{Library, c_string, copied};
use crate::{Answer, Serve};

const LENSES: &str = "/usr/share/augeas/lenses/dist";

/// Flags of aug_init(3): do not look for lenses where they usually are; keep a handle that failed.
const NO_STDINC: c_uint = 1 << 3;
const NO_ERR_CLOSE: c_uint = 1 << 8;

/// How files are saved, and the ways in which the new one takes the place of the old one.
const MODE: &[u8] = b"/augeas/save";
const REPLACING: [&[u8]; 2] = [b"overwrite", b"backup"];

/// Codes of aug_error(3).
const NOERROR: c_int = 0;
const EINTERNAL: c_int = 2;
const ENOMATCH: c_int = 4;

type Handle = *mut c_void;
type Text = *const c_char;

/// The functions that are used, as augeas.h declares them.
#[derive(Clone, Copy)]
struct Functions {
    init: unsafe extern "C" fn(Text, Text, c_uint) -> Handle,
    close: unsafe extern "C" fn(Handle),
    defvar: unsafe extern "C" fn(Handle, Text, Text) -> c_int,
    defnode: unsafe extern "C" fn(Handle, Text, Text, Text, *mut c_int) -> c_int,
    get: unsafe extern "C" fn(Handle, Text, *mut Text) -> c_int,
    label: unsafe extern "C" fn(Handle, Text, *mut Text) -> c_int,
    set: unsafe extern "C" fn(Handle, Text, Text) -> c_int,
    setm: unsafe extern "C" fn(Handle, Text, Text, Text) -> c_int,
    insert: unsafe extern "C" fn(Handle, Text, Text, c_int) -> c_int,
    rm: unsafe extern "C" fn(Handle, Text) -> c_int,
    mv: unsafe extern "C" fn(Handle, Text, Text) -> c_int,
    matches: unsafe extern "C" fn(Handle, Text, *mut *mut *mut c_char) -> c_int,
    save: unsafe extern "C" fn(Handle) -> c_int,
    load: unsafe extern "C" fn(Handle) -> c_int,
    transform: unsafe extern "C" fn(Handle, Text, Text, c_int) -> c_int,
    error: unsafe extern "C" fn(Handle) -> c_int,
    error_message: unsafe extern "C" fn(Handle) -> Text,
    error_minor_message: unsafe extern "C" fn(Handle) -> Text,
    error_details: unsafe extern "C" fn(Handle) -> Text,
}

/// The library, and the tree of one guest.
pub(crate) struct Augeas {
    functions: Functions,
    handle: Handle,
    sysroot: String,
    /// The root of the appliance.
    home: File,
    /// When the files were read or saved the last time, in seconds.
    seen: Cell<u64>,
}

impl Augeas {
    pub(crate) fn load(sysroot: &str) -> Result<Self, String> {
        let library = Library::load("libaugeas.so.0")?;
        // SAFETY: these are the types of augeas.h.
        let functions = unsafe {
            Functions {
                init: library.function("aug_init")?,
                close: library.function("aug_close")?,
                defvar: library.function("aug_defvar")?,
                defnode: library.function("aug_defnode")?,
                get: library.function("aug_get")?,
                label: library.function("aug_label")?,
                set: library.function("aug_set")?,
                setm: library.function("aug_setm")?,
                insert: library.function("aug_insert")?,
                rm: library.function("aug_rm")?,
                mv: library.function("aug_mv")?,
                matches: library.function("aug_match")?,
                save: library.function("aug_save")?,
                load: library.function("aug_load")?,
                transform: library.function("aug_transform")?,
                error: library.function("aug_error")?,
                error_message: library.function("aug_error_message")?,
                error_minor_message: library.function("aug_error_minor_message")?,
                error_details: library.function("aug_error_details")?,
            }
        };
        let home = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        let home = home.map_err(|err| format!("/: {err}"))?.into();
        Ok(Self {
            functions,
            handle: null_mut(),
            sysroot: sysroot.to_owned(),
            home,
            seen: Cell::new(0),
        })
    }

    /// Runs a function with the guest's root as that of the process.
    fn in_guest(&mut self, run: impl FnOnce(&mut Self) -> Option<Answer>) -> Option<Answer> {
        let enter = || -> rustix::io::Result<()> {
            chdir(LENSES)?;
            chroot(self.sysroot.as_str())
        };
        if let Err(errno) = enter() {
            return Some(Answer::Refused(EINTERNAL, format!("root of the guest: {errno}")));
        }
        let answer = run(self);
        // What cannot get back must not go on.
        let leave = fchdir(&self.home).and_then(|()| chroot("."));
        leave.ok().and(answer)
    }

    fn init(&mut self, root: &[u8], flags: &[u8]) -> Option<Answer> {
        let flags: c_uint = number(flags)?;
        let lenses = match flags & NO_STDINC {
            0 => c".".as_ptr(),
            _ => null(),
        };
        let root = c_string(root);
        self.seen.set(now());
        // SAFETY: both are null or end in a NUL.
        self.handle = unsafe {
            (self.functions.init)(root.as_ptr(), lenses, flags | NO_STDINC | NO_ERR_CLOSE)
        };
        Some(match self.handle.is_null() {
            true => Answer::Refused(EINTERNAL, "cannot start".into()),
            false => self.outcome(0, Message::new),
        })
    }

    /// What came of a call that returned `code`.
    fn outcome(&self, code: c_int, results: impl FnOnce() -> Message) -> Answer {
        let f = self.functions;
        // SAFETY: the handle is open, and the texts are those of the library.
        let (error, words) = unsafe {
            let details = [f.error_message, f.error_minor_message, f.error_details];
            ((f.error)(self.handle), details.map(|text| copied(text(self.handle))))
        };
        match (code, error) {
            (0.., NOERROR) => Answer::Done(results()),
            _ => {
                let words: Vec<_> =
                    words.iter().flatten().map(|it| String::from_utf8_lossy(it)).collect();
                Answer::Refused(error, words.join(": "))
            }
        }
    }

    /// The value or the label of the one node that matches.
    fn text(
        &self,
        function: unsafe extern "C" fn(Handle, Text, *mut Text) -> c_int,
        path: &[u8],
    ) -> Answer {
        let path = c_string(path);
        let mut text = null();
        // SAFETY: the handle is open, the path ends in a NUL, and there is room for a pointer.
        let code = unsafe { function(self.handle, path.as_ptr(), &raw mut text) };
        if code == 0 {
            return Answer::Refused(ENOMATCH, "no such node".into());
        }
        // SAFETY: the library sets it to null or to a text of its own.
        self.outcome(code, || vec![unsafe { copied(text) }.unwrap_or_default()])
    }

    fn matches(&self, path: &[u8]) -> Answer {
        let path = c_string(path);
        let mut list: *mut *mut c_char = null_mut();
        // SAFETY: the handle is open, the path ends in a NUL, and there is room for a pointer.
        let count = unsafe { (self.functions.matches)(self.handle, path.as_ptr(), &raw mut list) };
        let mut paths = Message::new();
        for at in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: the list has that many texts, allocated one by one for the caller to free.
            unsafe {
                let text = *list.add(at);
                paths.extend(copied(text));
                libc::free(text.cast());
            }
        }
        // SAFETY: as above; free(3) takes null too.
        unsafe { libc::free(list.cast()) };
        self.outcome(count, || paths)
    }

    /// Reads what has changed.  The library looks at the seconds of a file's time: if they are those
    /// in which it was read or saved, they tell nothing.
    fn reload(&self) -> Answer {
        if let Answer::Done(nodes) = self.matches(b"/augeas/files//mtime") {
            let is_recent = |node: &&Vec<u8>| {
                let time = self.value(node).and_then(|digits| number::<u64>(&digits));
                time.is_none_or(|time| time >= self.seen.get())
            };
            for node in nodes.iter().filter(is_recent) {
                self.set(node, b"0");
            }
        }
        self.seen.set(now());
        // SAFETY: the handle is open.
        self.number(unsafe { (self.functions.load)(self.handle) })
    }

    /// Saves.  The library makes new files, and gives them owner and mode of the old ones only.
    fn save(&self) -> Answer {
        let attributes = self.attributes();
        let answer = self.write();
        let written = self.saved();
        for (path, attributes) in attributes.iter().filter(|(path, _)| written.contains(path)) {
            if let Err(errno) = attributes.give_to(path) {
                let words = format!("{}: attributes: {errno}", String::from_utf8_lossy(path));
                return Answer::Refused(NOERROR, words);
            }
        }
        answer
    }

    /// Those of the files that will be replaced: the library goes through everything but for
    /// writing, and goes through it again later.
    fn attributes(&self) -> Vec<(Vec<u8>, Attributes)> {
        let Some(mode) = self.value(MODE).filter(|mode| REPLACING.contains(&mode.as_slice()))
        else {
            return Vec::new();
        };
        self.set(MODE, b"noop");
        // What is wrong will be so again.
        // SAFETY: the handle is open.
        let _ = unsafe { (self.functions.save)(self.handle) };
        self.set(MODE, &mode);
        let of = |path: Vec<u8>| Attributes::of(&path).ok().map(|attributes| (path, attributes));
        self.saved().into_iter().filter_map(of).collect()
    }

    /// Sets something that the library keeps about itself.
    fn set(&self, path: &[u8], value: &[u8]) {
        let (path, value) = (c_string(path), c_string(value));
        // SAFETY: the handle is open, and the texts end in a NUL.
        let _ = unsafe { (self.functions.set)(self.handle, path.as_ptr(), value.as_ptr()) };
    }

    /// The files that were saved the last time.
    fn saved(&self) -> Vec<Vec<u8>> {
        let Answer::Done(nodes) = self.matches(b"/augeas/events/saved") else {
            return Vec::new();
        };
        let root = self.value(b"/augeas/root").unwrap_or_default();
        let root = root.strip_suffix(b"/").unwrap_or(&root);
        let path = |node: &Vec<u8>| {
            let name = self.value(node)?;
            Some([root, name.strip_prefix(b"/files")?].concat())
        };
        nodes.iter().filter_map(path).collect()
    }

    /// The library keeps the reasons of a failure in the tree.
    fn write(&self) -> Answer {
        self.seen.set(now());
        // SAFETY: the handle is open.
        let code = unsafe { (self.functions.save)(self.handle) };
        if code >= 0 {
            return self.outcome(code, Message::new);
        }
        let Answer::Done(errors) = self.matches(b"/augeas//error") else {
            return self.outcome(code, Message::new);
        };
        // Files that could not be read have such a node too, but nothing is the matter with these.
        let failed = errors.iter().find_map(|node| {
            let file = node.strip_prefix(b"/augeas/files")?.strip_suffix(b"/error")?;
            let kind = self.value(node)?;
            let reading = [&b"parse_failed"[..], b"read_", b"parse_skel"];
            let is_reading = reading.iter().any(|it| kind.starts_with(it));
            let message = self.value(&[node, &b"/message"[..]].concat()).unwrap_or(kind);
            (!is_reading).then(|| [file, b": ", &message].concat())
        });
        match failed {
            Some(words) => Answer::Refused(NOERROR, String::from_utf8_lossy(&words).into_owned()),
            None => self.outcome(code, Message::new),
        }
    }

    fn value(&self, path: &[u8]) -> Option<Vec<u8>> {
        match self.text(self.functions.get, path) {
            Answer::Done(mut results) => results.pop(),
            Answer::Refused(..) => None,
        }
    }

    /// A function that takes texts, some of which may be absent, and returns a number.
    fn number(&self, code: c_int) -> Answer {
        self.outcome(code, || vec![code.to_string().into()])
    }
}

impl Serve for Augeas {
    fn call(&mut self, function: &str, arguments: &[&[u8]]) -> Option<Answer> {
        self.in_guest(|augeas| match (function, arguments) {
            ("init", [root, flags]) if augeas.handle.is_null() => augeas.init(root, flags),
            _ if augeas.handle.is_null() => None,
            _ => augeas.with_tree(function, arguments),
        })
    }
}

impl Augeas {
    fn with_tree(&self, function: &str, arguments: &[&[u8]]) -> Option<Answer> {
        let (f, handle) = (self.functions, self.handle);
        let texts: Vec<_> = arguments.iter().map(|it| c_string(it)).collect();
        let texts: Vec<Text> = texts.iter().map(|it| it.as_ptr()).collect();
        // SAFETY, of all calls below: the handle is open, and the texts live until the end.
        Some(match (function, &texts[..]) {
            ("get", [_]) => self.text(f.get, arguments[0]),
            ("label", [_]) => self.text(f.label, arguments[0]),
            ("match", [_]) => self.matches(arguments[0]),
            ("save", []) => self.save(),
            ("load", []) => self.reload(),
            // SAFETY: see above.
            ("clear", &[path]) => self.number(unsafe { (f.set)(handle, path, null()) }),
            // SAFETY: see above.
            ("set", &[path, value]) => self.number(unsafe { (f.set)(handle, path, value) }),
            ("setm", &[base, value]) => {
                // SAFETY: see above.
                self.number(unsafe { (f.setm)(handle, base, null(), value) })
            }
            ("setm", &[base, value, sub]) => {
                // SAFETY: see above.
                self.number(unsafe { (f.setm)(handle, base, sub, value) })
            }
            // SAFETY: see above.
            ("rm", &[path]) => self.number(unsafe { (f.rm)(handle, path) }),
            // SAFETY: see above.
            ("mv", &[from, to]) => self.number(unsafe { (f.mv)(handle, from, to) }),
            ("insert", &[path, label, _]) => {
                let before = number(arguments[2])?;
                // SAFETY: see above.
                self.number(unsafe { (f.insert)(handle, path, label, before) })
            }
            ("transform", &[lens, file, _]) => {
                let excluded = number(arguments[2])?;
                // SAFETY: see above.
                self.number(unsafe { (f.transform)(handle, lens, file, excluded) })
            }
            // SAFETY: see above.
            ("defvar", &[name]) => self.number(unsafe { (f.defvar)(handle, name, null()) }),
            ("defvar", &[name, expression]) => {
                // SAFETY: see above.
                self.number(unsafe { (f.defvar)(handle, name, expression) })
            }
            ("defnode", &[name, expression, value]) => {
                let mut made = 0;
                // SAFETY: see above; there is room for a number.
                let count = unsafe { (f.defnode)(handle, name, expression, value, &raw mut made) };
                let numbers = [count, made];
                self.outcome(count, || numbers.map(|it| it.to_string().into()).to_vec())
            }
            _ => return None,
        })
    }
}

impl Drop for Augeas {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle is open, and nobody uses it any more.
            unsafe { (self.functions.close)(self.handle) };
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    str::from_utf8(digits).ok()?.parse().ok()
}
