// SPDX-License-Identifier: LGPL-2.1-or-later
//! A handle: its state, its lock, and its life from `create` to `close`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bstr::{BString, ByteSlice};
use guestfs_protocol::{Procedure, Version, wire};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::{Mutex, ReentrantMutex};

use crate::connection::{Attached, Channel, Connection, Lost};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::event::{Callbacks, Events, Payload};
use crate::launch::{Appliance, Config};
use crate::per_thread::PerThread;
use crate::private::Private;
use crate::properties::{Directories, MEMSIZE_DEFAULT_MB};

/// The version of libguestfs whose API this is.
const API_VERSION: (i64, i64, i64) = (1, 60, 0);

/// Options of qemu that the library needs for itself.
const FORBIDDEN_HV_PARAMS: [&str; 8] =
    ["-kernel", "-initrd", "-nographic", "-display", "-serial", "-full-screen", "-std-vga", "-vnc"];

/// How a handle is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateFlags(u32);

impl CreateFlags {
    /// The environment is not looked at.
    pub const NO_ENVIRONMENT: Self = Self(1);
    /// The handle is not closed when the program exits.  Rust programs close a handle by dropping
    /// it; this is for the languages that have no such thing.
    pub const NO_CLOSE_ON_EXIT: Self = Self(2);

    /// The flags with these bits, or none if a bit has no meaning.
    pub fn from_bits(bits: u32) -> Option<Self> {
        (bits & !3 == 0).then_some(Self(bits))
    }

    /// Whether every flag in `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for CreateFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Called with each error, before the function that failed returns.
pub type ErrorHandler = Arc<dyn Fn(&Handle, &str) + Send + Sync>;

/// Where a handle is in its life; the numbers are those of `get_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Config = 0,
    Launching = 1,
    Ready = 2,
}

/// Everything a handle knows.  It is borrowed for moments only, never while the user's code runs.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) directories: Directories,
    pub(crate) backend: BString,
    pub(crate) program: BString,
    pub(crate) autosync: bool,
    pub(crate) trace: bool,
    pub(crate) direct: bool,
    pub(crate) callbacks: Callbacks,
    pub(crate) private: BTreeMap<String, Private>,
    phase: Phase,
    /// Absent while a call uses it.
    connection: Option<Connection>,
    pid: Option<i32>,
    error_handlers: Vec<Option<ErrorHandler>>,
    closed: bool,
}

/// A connection to one appliance: made, given disks, launched, used, and closed.
///
/// It may be used from several threads: calls queue, and only [`Handle::user_cancel`] does not
/// wait.  A callback may use the handle it is called with.
pub struct Handle {
    lock: ReentrantMutex<RefCell<State>>,
    cancel: Cancel,
    flags: CreateFlags,
    /// Not part of the state: a thread may ask what went wrong while another one is in a call.
    errors: Mutex<PerThread<Option<Error>>>,
}

impl Handle {
    /// A new handle, with settings from the environment.
    pub fn create() -> Result<Self> {
        Self::create_flags(CreateFlags::default())
    }

    /// A new handle.
    pub fn create_flags(flags: CreateFlags) -> Result<Self> {
        let cancel = Cancel::new().map_err(|err| Error::system(err, "eventfd").of("create"))?;
        let state = State {
            config: default_config(),
            directories: Directories::default(),
            backend: "direct".into(),
            program: program_name(),
            autosync: true,
            trace: false,
            direct: false,
            callbacks: Callbacks::default(),
            private: BTreeMap::new(),
            phase: Phase::Config,
            connection: None,
            pid: None,
            error_handlers: vec![None],
            closed: false,
        };
        let lock = ReentrantMutex::new(RefCell::new(state));
        let handle = Self { lock, cancel, flags, errors: Mutex::default() };
        if !flags.contains(CreateFlags::NO_ENVIRONMENT) {
            handle.apply(Environment::of_process()).map_err(|err| err.of("create"))?;
        }
        Ok(handle)
    }

    /// Shuts the appliance down and reports what went wrong with that, which dropping the handle
    /// cannot.
    pub fn close(self) -> Result<()> {
        self.finish().map_err(|err| err.of("close"))
    }

    /// The flags the handle was created with.
    pub fn flags(&self) -> CreateFlags {
        self.flags
    }

    /// The last error that the handle had in this thread.
    pub fn last_error(&self) -> Option<Error> {
        self.errors.lock().get().cloned().flatten()
    }

    /// Forgets the last error of this thread.
    pub fn clear_last_error(&self) {
        *self.errors.lock().get_mut() = None;
    }

    /// Records an error that a binding found by itself, and tells the error handler.
    pub fn report_error(&self, error: &Error) {
        *self.errors.lock().get_mut() = Some(error.clone());
        let handler = self.error_handler();
        if let Some(handler) = handler {
            handler(self, &error.to_string());
        }
    }

    /// The error handler in force.
    pub fn error_handler(&self) -> Option<ErrorHandler> {
        self.with(|s| s.error_handlers.last().cloned().flatten())
    }

    /// Replaces the error handler.  At first there is none: an error is what a function returns.
    pub fn set_error_handler(&self, handler: Option<ErrorHandler>) {
        let old =
            self.with(|s| s.error_handlers.last_mut().map(|it| std::mem::replace(it, handler)));
        drop(old);
    }

    /// Puts an error handler in force until it is popped.
    pub fn push_error_handler(&self, handler: Option<ErrorHandler>) {
        self.with(|s| s.error_handlers.push(handler));
    }

    /// Brings back the error handler that was in force before the last push.  Popping more than
    /// was pushed leaves no handler.
    pub fn pop_error_handler(&self) {
        let old = self.with(|s| {
            let old = s.error_handlers.pop();
            if s.error_handlers.is_empty() {
                s.error_handlers.push(None);
            }
            old
        });
        drop(old);
    }

    /// A handle for tests, with nothing from the environment.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self::create_flags(CreateFlags::NO_ENVIRONMENT).unwrap()
    }

    /// Connects the handle to a daemon that somebody else has started.
    #[doc(hidden)]
    pub fn attach(&self, socket: UnixStream) {
        self.attach_channel(Box::new(Attached(socket)));
    }

    pub(crate) fn attach_channel(&self, channel: Box<dyn Channel>) {
        let connection = Connection::new(channel);
        self.with(|s| {
            s.connection = Some(connection);
            s.phase = Phase::Ready;
        });
    }

    /// Runs `f` with the state.  It must not call anything of the user's.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.lock.lock().borrow_mut())
    }

    /// Holds the lock, so that the calls of several threads queue.
    pub(crate) fn queue<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.lock.lock();
        f()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.with(|s| s.phase)
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Uses the connection.  If it is lost over that, so is the appliance, and the handle is back
    /// where it can be launched.
    pub(crate) fn with_connection<R>(
        &self,
        f: impl FnOnce(&mut Connection) -> std::result::Result<R, Lost>,
    ) -> Result<R> {
        let taken = self.with(|s| match s.phase {
            Phase::Ready => Ok(s.connection.take()),
            Phase::Config | Phase::Launching => Err(()),
        });
        let connection = match taken {
            Ok(Some(connection)) => connection,
            // Only a callback of the call that has it can come here.
            Ok(None) => return Err(Error::new(Errno::EBUSY as i32, "another call is in progress")),
            Err(()) => {
                let why = "call launch before using this function";
                return Err(Error::new(Errno::EINVAL as i32, why));
            }
        };
        let mut loan = Loan { handle: self, connection: None };
        let connection = loan.connection.insert(connection);
        match f(connection) {
            Ok(value) => {
                let connection = loan.connection.take();
                self.with(|s| s.connection = connection);
                Ok(value)
            }
            Err(lost) => {
                let error = connection.explain(self, lost);
                drop(loan);
                Err(error)
            }
        }
    }

    /// Whatever the end of an appliance means for the handle.  The drives go with it, as they do
    /// in `shutdown`: the next launch starts from an empty list.
    fn appliance_gone(&self) {
        self.with(|s| {
            s.phase = Phase::Config;
            s.pid = None;
            s.config.drives.clear();
        });
        self.emit(Events::SUBPROCESS_QUIT, Payload::None);
    }

    /// The part of `close` that dropping has to do as well; doing it twice does nothing.  For
    /// bindings whose callbacks use the handle, under another name, while it is being closed.
    #[doc(hidden)]
    pub fn finish(&self) -> Result<()> {
        if self.with(|s| std::mem::replace(&mut s.closed, true)) {
            return Ok(());
        }
        if self.with(|s| s.trace) {
            self.emit(Events::TRACE, Payload::Buf(b"close"));
        }
        let result = match self.phase() {
            Phase::Ready => shutdown(self),
            Phase::Config | Phase::Launching => Ok(()),
        };
        self.emit(Events::CLOSE, Payload::None);
        // What the callbacks own is the user's: it goes while the handle is still whole.
        let callbacks = self.with(|s| std::mem::take(&mut s.callbacks));
        drop(callbacks);
        result
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.finish();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

/// A connection on loan to a call.  If it does not come back, because it is lost or because a
/// callback panicked in the middle of a message, nothing more can be said over it.
struct Loan<'a> {
    handle: &'a Handle,
    connection: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // It has failed already, or a panic is under way: there is no error to add.
            let _ = connection.shutdown();
            self.handle.appliance_gone();
        }
    }
}

/// The user's wish to stop a transfer: a flag to look at, and a descriptor to wait for.
pub(crate) struct Cancel {
    wanted: AtomicBool,
    event: EventFd,
}

impl Cancel {
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_value_and_flags(0, flags)?;
        Ok(Self { wanted: AtomicBool::new(false), event })
    }

    /// Safe in a signal handler: a store and a write.
    pub(crate) fn request(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        // Fails only if the counter is full, and then it is readable.
        let _ = self.event.write(1);
    }

    /// Forgets a wish that came when there was nothing to stop.
    pub(crate) fn reset(&self) {
        let _ = self.event.read();
        self.wanted.store(false, Ordering::SeqCst);
    }

    pub(crate) fn requested(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.event.as_fd()
    }
}

fn default_config() -> Config {
    Config {
        memsize_mb: MEMSIZE_DEFAULT_MB,
        smp: 1,
        path: crate::launch::default_path(),
        recovery_proc: true,
        ..Config::default()
    }
}

/// The name of the running program, for `get_program`.
fn program_name() -> BString {
    let program = std::env::args_os().next().unwrap_or_default();
    let path = PathBuf::from(program);
    path.file_name().map(|it| it.as_encoded_bytes().into()).unwrap_or_default()
}

impl Handle {
    /// What a launch would be made from, with the directories that are used now.
    pub(crate) fn launch_config(&self) -> Config {
        self.with(|s| {
            s.directories.resolve_into(&mut s.config);
            s.config.clone()
        })
    }
}

pub(crate) fn launch(g: &Handle) -> Result<()> {
    let config = g.launch_config();
    g.with(|s| s.phase = Phase::Launching);
    let launching = Launching(g);
    let appliance = Appliance::start(&config, &mut |kind, text| g.log(kind, text))?;
    let pid = appliance.pid();
    let connection = Connection::new(Box::new(appliance));
    std::mem::forget(launching);
    g.with(|s| {
        s.connection = Some(connection);
        s.pid = Some(pid);
        s.phase = Phase::Ready;
    });
    g.emit(Events::LAUNCH_DONE, Payload::None);
    Ok(())
}

/// Brings the handle back to where it was if a launch fails, or if a callback panics in it.
struct Launching<'a>(&'a Handle);

impl Drop for Launching<'_> {
    fn drop(&mut self) {
        self.0.with(|s| s.phase = Phase::Config);
    }
}

pub(crate) fn shutdown(g: &Handle) -> Result<()> {
    let (phase, autosync) = g.with(|s| (s.phase, s.autosync));
    match phase {
        Phase::Ready => {}
        Phase::Config | Phase::Launching => return Ok(()),
    }
    // Data that cannot be written is worth an error, and the appliance is stopped all the same.
    let synced = match autosync {
        true => g.call(Procedure::InternalAutosync, 0, &wire::Nothing).map(|wire::Nothing| ()),
        false => Ok(()),
    };
    let Some(connection) = g.with(|s| s.connection.take()) else {
        // The appliance died of the sync, or this is a callback of a call that is in progress.
        return match g.phase() {
            Phase::Config | Phase::Launching => synced,
            Phase::Ready => Err(Error::new(Errno::EBUSY as i32, "another call is in progress")),
        };
    };
    let stopped = connection.shutdown();
    g.appliance_gone();
    synced.and(stopped)
}

pub(crate) fn kill_subprocess(g: &Handle) -> Result<()> {
    shutdown(g)
}

/// There is nothing to wait for: `launch` returns when the appliance is ready.
pub(crate) fn wait_ready(g: &Handle) -> Result<()> {
    g.with_connection(|_| Ok(()))
}

pub(crate) fn internal_get_console_socket(g: &Handle) -> Result<i32> {
    let console = g.with_connection(|it| Ok(it.console()))?;
    console.ok_or_else(|| Error::new(Errno::ENOTTY as i32, "the appliance has no console"))
}

pub(crate) fn config(g: &Handle, hvparam: &[u8], hvvalue: Option<&[u8]>) -> Result<()> {
    if !hvparam.starts_with(b"-") {
        let why = format!("{} does not begin with '-'", hvparam.as_bstr());
        return Err(Error::invalid("hvparam", why));
    }
    if FORBIDDEN_HV_PARAMS.iter().any(|it| it.as_bytes() == hvparam) {
        let why = format!("{} is for the library to set", hvparam.as_bstr());
        return Err(Error::invalid("hvparam", why));
    }
    let param = crate::call::text("hvparam", hvparam)?;
    let value = hvvalue.map(|it| crate::call::text("hvvalue", it)).transpose()?;
    g.with(|s| s.config.hv_params.push((param, value)));
    Ok(())
}

pub(crate) fn is_config(g: &Handle) -> Result<bool> {
    Ok(g.phase() == Phase::Config)
}

pub(crate) fn is_launching(g: &Handle) -> Result<bool> {
    Ok(g.phase() == Phase::Launching)
}

pub(crate) fn is_ready(g: &Handle) -> Result<bool> {
    Ok(g.phase() == Phase::Ready)
}

/// A call that is in progress holds the lock, so nobody can find the handle busy.
pub(crate) fn is_busy(_: &Handle) -> Result<bool> {
    Ok(false)
}

pub(crate) fn get_state(g: &Handle) -> Result<i32> {
    Ok(g.phase() as i32)
}

pub(crate) fn get_pid(g: &Handle) -> Result<i32> {
    match g.with(|s| s.pid) {
        Some(pid) => Ok(pid),
        None => Err(Error::new(Errno::ESRCH as i32, "the appliance is not running")),
    }
}

pub(crate) fn version(_: &Handle) -> Result<Version> {
    let (major, minor, release) = API_VERSION;
    let extra = concat!("-rs-", env!("CARGO_PKG_VERSION")).into();
    Ok(Version { major, minor, release, extra })
}

pub(crate) fn user_cancel(g: &Handle) -> Result<()> {
    g.cancel.request();
    Ok(())
}

pub(crate) fn parse_environment(g: &Handle) -> Result<()> {
    g.apply(Environment::of_process())
}

pub(crate) fn parse_environment_list(g: &Handle, environment: &[&[u8]]) -> Result<()> {
    g.apply(Environment::of_list(environment))
}

pub(crate) fn c_pointer(g: &Handle) -> Result<i64> {
    Ok(std::ptr::from_ref(g).addr() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_may_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Handle>();
    }

    #[track_caller]
    fn check_config(param: &str, value: Option<&str>, expected: &str) {
        let g = Handle::detached();
        let got = match config(&g, param.as_bytes(), value.map(str::as_bytes)) {
            Ok(()) => format!("{:?}", g.with(|s| s.config.hv_params.clone())),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn parameters_of_qemu() {
        check_config("-name", Some("x"), r#"[("-name", Some("x"))]"#);
        check_config("-S", None, r#"[("-S", None)]"#);
        check_config("name", None, "hvparam: name does not begin with '-'");
        check_config("", None, "hvparam:  does not begin with '-'");
        check_config("-kernel", Some("x"), "hvparam: -kernel is for the library to set");
        check_config("-name", Some("\0"), "hvvalue: contains a NUL byte");
    }

    #[test]
    fn flags() {
        let both = CreateFlags::NO_ENVIRONMENT | CreateFlags::NO_CLOSE_ON_EXIT;
        assert_eq!(CreateFlags::from_bits(3), Some(both));
        assert_eq!(CreateFlags::from_bits(4), None);
        assert!(both.contains(CreateFlags::NO_CLOSE_ON_EXIT));
    }

    #[test]
    fn an_appliance_that_is_not_found() {
        let g = Handle::detached();
        g.set_path(Some(b"/nowhere")).unwrap();
        let err = g.launch().unwrap_err();
        assert!(err.to_string().starts_with("launch: "), "{err}");
        assert_eq!(g.is_config(), Ok(true));
        assert_eq!(g.get_state(), Ok(0));
    }

    #[test]
    fn settings_of_a_launched_handle_are_fixed() {
        let g = Handle::detached();
        let (socket, _peer) = UnixStream::pair().unwrap();
        g.attach(socket);
        let err = g.set_memsize(512).unwrap_err();
        assert_eq!(err.to_string(), "set_memsize: this function can only be called before launch");
        g.set_autosync(false).unwrap();
        g.shutdown().unwrap();
        g.set_memsize(512).unwrap();
    }

    #[test]
    fn closing_is_done_once() {
        let g = Handle::detached();
        let closed = Arc::new(std::sync::Mutex::new(0));
        let counter = closed.clone();
        g.set_event_callback(Events::CLOSE, move |_, _, _, _| *counter.lock().unwrap() += 1);
        g.finish().unwrap();
        g.close().unwrap();
        assert_eq!(*closed.lock().unwrap(), 1);
    }
}
