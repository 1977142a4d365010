// SPDX-License-Identifier: LGPL-2.1-or-later
//! Functions that give back what they are given, for the tests of bindings: each type of argument
//! and of result must come through unchanged.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use bstr::{BString, ByteSlice};
use guestfs_protocol::LvmPv;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::generated::{
    InternalTest63OptargsOptions, InternalTestOnlyOptargsOptions, InternalTestOptions,
};
use crate::handle::Handle;

/// Where to write instead of standard output.
static OUTPUT: Mutex<Option<File>> = Mutex::new(None);

pub(crate) fn internal_test_set_output(_: &Handle, filename: &[u8]) -> Result<()> {
    let name = filename.to_path_lossy();
    let file = File::create(&name).map_err(|err| Error::io(&err, name.display()))?;
    *OUTPUT.lock() = Some(file);
    Ok(())
}

pub(crate) fn internal_test_close_output(_: &Handle) -> Result<()> {
    *OUTPUT.lock() = None;
    Ok(())
}

/// The lines of a report.
#[derive(Default)]
struct Report(String);

impl Report {
    fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    fn option<T>(&mut self, name: &str, value: Option<&T>, text: impl FnOnce(&T) -> String) {
        let text = value.map_or("unset".to_owned(), text);
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{name}: {text}");
    }

    fn write(mut self) -> Result<()> {
        self.line("EOF");
        let written = match OUTPUT.lock().as_mut() {
            Some(file) => file.write_all(self.0.as_bytes()),
            None => io::stdout().write_all(self.0.as_bytes()),
        };
        written.map_err(|err| Error::io(&err, "output of the test"))
    }
}

fn list<T: AsRef<[u8]>>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|it| format!("\"{}\"", lossy(it.as_ref()))).collect();
    format!("[{}]", items.join(", "))
}

fn lossy(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

pub(crate) fn internal_test(
    _: &Handle,
    str: &[u8],
    optstr: Option<&[u8]>,
    strlist: &[&[u8]],
    b: bool,
    integer: i32,
    integer64: i64,
    filein: &Path,
    fileout: &Path,
    bufferin: &[u8],
    options: &InternalTestOptions,
) -> Result<()> {
    let mut report = Report::default();
    report.line(lossy(str));
    report.line(optstr.map_or("null".into(), lossy));
    report.line(list(strlist));
    report.line(b.to_string());
    report.line(integer.to_string());
    report.line(integer64.to_string());
    report.line(filein.to_string_lossy());
    report.line(fileout.to_string_lossy());
    report.line(bufferin.escape_ascii().to_string());
    report.option("obool", options.obool.as_ref(), bool::to_string);
    report.option("oint", options.oint.as_ref(), i32::to_string);
    report.option("oint64", options.oint64.as_ref(), i64::to_string);
    report.option("ostring", options.ostring.as_ref(), BString::to_string);
    report.option("ostringlist", options.ostringlist.as_ref(), |it| list(it));
    report.write()
}

pub(crate) fn internal_test_only_optargs(
    _: &Handle,
    options: &InternalTestOnlyOptargsOptions,
) -> Result<()> {
    let mut report = Report::default();
    report.option("test", options.test.as_ref(), i32::to_string);
    report.write()
}

pub(crate) fn internal_test_63_optargs(
    _: &Handle,
    options: &InternalTest63OptargsOptions,
) -> Result<()> {
    let all = [
        options.opt1,
        options.opt2,
        options.opt3,
        options.opt4,
        options.opt5,
        options.opt6,
        options.opt7,
        options.opt8,
        options.opt9,
        options.opt10,
        options.opt11,
        options.opt12,
        options.opt13,
        options.opt14,
        options.opt15,
        options.opt16,
        options.opt17,
        options.opt18,
        options.opt19,
        options.opt20,
        options.opt21,
        options.opt22,
        options.opt23,
        options.opt24,
        options.opt25,
        options.opt26,
        options.opt27,
        options.opt28,
        options.opt29,
        options.opt30,
        options.opt31,
        options.opt32,
        options.opt33,
        options.opt34,
        options.opt35,
        options.opt36,
        options.opt37,
        options.opt38,
        options.opt39,
        options.opt40,
        options.opt41,
        options.opt42,
        options.opt43,
        options.opt44,
        options.opt45,
        options.opt46,
        options.opt47,
        options.opt48,
        options.opt49,
        options.opt50,
        options.opt51,
        options.opt52,
        options.opt53,
        options.opt54,
        options.opt55,
        options.opt56,
        options.opt57,
        options.opt58,
        options.opt59,
        options.opt60,
        options.opt61,
        options.opt62,
        options.opt63,
    ];
    let mut report = Report::default();
    for (number, value) in (1..).zip(&all).filter(|(_, value)| value.is_some()) {
        report.option(&format!("opt{number}"), value.as_ref(), i32::to_string);
    }
    report.write()
}

fn parse<T: std::str::FromStr>(val: &[u8]) -> Result<T> {
    let text = lossy(val);
    text.parse().map_err(|_| Error::invalid("val", format!("{text:?} is not such a value")))
}

fn failed<T>() -> Result<T> {
    Err(Error::new(0, "error"))
}

/// The numbers below `val`.
fn numbers(val: &[u8]) -> Result<impl Iterator<Item = BString>> {
    Ok((0..parse(val)?).map(|number: u16| number.to_string().into()))
}

pub(crate) fn internal_test_rint(_: &Handle, val: &[u8]) -> Result<i32> {
    parse(val)
}

pub(crate) fn internal_test_rinterr(_: &Handle) -> Result<i32> {
    failed()
}

pub(crate) fn internal_test_rint64(_: &Handle, val: &[u8]) -> Result<i64> {
    parse(val)
}

pub(crate) fn internal_test_rint64err(_: &Handle) -> Result<i64> {
    failed()
}

pub(crate) fn internal_test_rbool(_: &Handle, val: &[u8]) -> Result<bool> {
    parse(val)
}

pub(crate) fn internal_test_rboolerr(_: &Handle) -> Result<bool> {
    failed()
}

pub(crate) fn internal_test_rconststring(_: &Handle, _val: &[u8]) -> Result<BString> {
    Ok("static string".into())
}

pub(crate) fn internal_test_rconststringerr(_: &Handle) -> Result<BString> {
    failed()
}

pub(crate) fn internal_test_rconstoptstring(_: &Handle, val: &[u8]) -> Result<Option<BString>> {
    Ok((val != b"null").then(|| "static string".into()))
}

pub(crate) fn internal_test_rconstoptstringerr(_: &Handle) -> Result<Option<BString>> {
    failed()
}

pub(crate) fn internal_test_rstring(_: &Handle, val: &[u8]) -> Result<BString> {
    Ok(val.into())
}

pub(crate) fn internal_test_rstringerr(_: &Handle) -> Result<BString> {
    failed()
}

pub(crate) fn internal_test_rbufferout(_: &Handle, val: &[u8]) -> Result<Vec<u8>> {
    Ok(val.into())
}

pub(crate) fn internal_test_rbufferouterr(_: &Handle) -> Result<Vec<u8>> {
    failed()
}

pub(crate) fn internal_test_rstringlist(_: &Handle, val: &[u8]) -> Result<Vec<BString>> {
    Ok(numbers(val)?.collect())
}

pub(crate) fn internal_test_rstringlisterr(_: &Handle) -> Result<Vec<BString>> {
    failed()
}

/// A structure with a name, and nothing else known.
fn named(name: BString) -> LvmPv {
    let unknown = || BString::from("unknown");
    LvmPv {
        pv_name: name,
        pv_uuid: [b'u'; 32],
        pv_fmt: unknown(),
        pv_size: 0,
        dev_size: 0,
        pv_free: 0,
        pv_used: 0,
        pv_attr: unknown(),
        pv_pe_count: 0,
        pv_pe_alloc_count: 0,
        pv_tags: unknown(),
        pe_start: 0,
        pv_mda_count: 0,
        pv_mda_free: 0,
    }
}

pub(crate) fn internal_test_rstruct(_: &Handle, val: &[u8]) -> Result<LvmPv> {
    Ok(named(val.into()))
}

pub(crate) fn internal_test_rstructerr(_: &Handle) -> Result<LvmPv> {
    failed()
}

pub(crate) fn internal_test_rstructlist(_: &Handle, val: &[u8]) -> Result<Vec<LvmPv>> {
    Ok(numbers(val)?.map(named).collect())
}

pub(crate) fn internal_test_rstructlisterr(_: &Handle) -> Result<Vec<LvmPv>> {
    failed()
}

pub(crate) fn internal_test_rhashtable(_: &Handle, val: &[u8]) -> Result<Vec<(BString, BString)>> {
    Ok(numbers(val)?.map(|number| (number.clone(), number)).collect())
}

pub(crate) fn internal_test_rhashtableerr(_: &Handle) -> Result<Vec<(BString, BString)>> {
    failed()
}
