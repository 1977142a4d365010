// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files of the host that are not plain names: `-`, here-documents and `|command`.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};

use bstr::ByteSlice;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::output::Output;
use crate::source::Lines;

/// What the files of one call need as long as it runs.
#[derive(Default)]
pub(crate) struct Files {
    out: Option<Output>,
    documents: Vec<NamedTempFile>,
    readers: Vec<Reader>,
}

/// Whoever reads what a call writes.
struct Reader {
    /// As long as this is open, the reader waits for more.
    pipe: io::PipeWriter,
    who: Who,
}

enum Who {
    Program { shell: String, child: Child },
    Thread(JoinHandle<Result<()>>),
}

impl Files {
    /// Files among which `-` is `out`.
    pub(crate) fn writing_to(out: Output) -> Self {
        Self { out: Some(out), ..Self::default() }
    }

    /// The path to read from.
    pub(crate) fn file_in(&mut self, word: &[u8], lines: &mut dyn Lines) -> Result<PathBuf> {
        if let Some(end) = word.strip_prefix(b"-<<") {
            let document = here_document(end, lines)?;
            let path = document.path().to_owned();
            self.documents.push(document);
            return Ok(path);
        }
        Ok(match word {
            b"-" => "/dev/stdin".into(),
            _ => OsStr::from_bytes(word).into(),
        })
    }

    /// The path to write to.
    pub(crate) fn file_out(&mut self, word: &[u8]) -> Result<PathBuf> {
        match word {
            [b'|', shell @ ..] => {
                let (from, pipe) = io::pipe().map_err(Error::io("pipe"))?;
                let shell = shell.to_str_lossy().into_owned();
                let child = Command::new("sh").arg("-c").arg(&shell).stdin(from).spawn();
                let child = child.map_err(Error::io("sh"))?;
                Ok(self.reader(pipe, Who::Program { shell, child }))
            }
            b"-" => {
                // Not /dev/stdout: opening it again would truncate a file that it is.
                let (from, pipe) = io::pipe().map_err(Error::io("pipe"))?;
                let out = self.out.as_ref().map(Output::share).transpose()?;
                let copy = move || copy(from, out.unwrap_or(Output::Terminal));
                Ok(self.reader(pipe, Who::Thread(thread::spawn(copy))))
            }
            _ => Ok(OsStr::from_bytes(word).into()),
        }
    }

    fn reader(&mut self, pipe: io::PipeWriter, who: Who) -> PathBuf {
        let path = format!("/dev/fd/{}", pipe.as_raw_fd());
        self.readers.push(Reader { pipe, who });
        path.into()
    }

    /// Waits until everything that was written has been read.
    pub(crate) fn finish(self) -> Result<()> {
        let mut result = Ok(());
        for Reader { pipe, who } in self.readers {
            drop(pipe);
            result = result.and(match who {
                Who::Thread(thread) => {
                    thread.join().unwrap_or_else(|_| Err(Error::shell("internal error")))
                }
                Who::Program { shell, mut child } => match child.wait() {
                    Ok(status) if status.success() => Ok(()),
                    Ok(status) => Err(Error::shell(format!("{shell}: {status}"))),
                    Err(err) => Err(Error::io(shell)(err)),
                },
            });
        }
        result
    }
}

fn copy(mut from: io::PipeReader, mut out: Output) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).map_err(Error::io("pipe"))? {
            0 => return Ok(()),
            n => out.bytes(&buffer[..n])?,
        }
    }
}

fn here_document(end: &[u8], lines: &mut dyn Lines) -> Result<NamedTempFile> {
    if end.is_empty() {
        return Err(Error::shell("-<<: the word that ends the document is missing"));
    }
    let mut file = NamedTempFile::with_prefix("guestfish").map_err(Error::io("temporary file"))?;
    loop {
        match lines.more()? {
            Some(line) if line == end => return Ok(file),
            Some(line) => {
                let line = [line.as_slice(), b"\n"].concat();
                file.write_all(&line).map_err(Error::file(file.path()))?;
            }
            None => {
                let end = end.as_bstr();
                return Err(Error::shell(format!("-<<{end}: the line {end} is missing")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::Script;

    #[test]
    fn here_documents() {
        let mut lines = Script::new(&b"one\n two\nEND\nrest\n"[..], "test");
        let mut files = Files::default();
        let path = files.file_in(b"-<<END", &mut lines).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "one\n two\n");
        assert_eq!(lines.more().unwrap().unwrap(), "rest");
        let err = files.file_in(b"-<<END", &mut lines).unwrap_err();
        assert_eq!(err.to_string(), "guestfish: -<<END: the line END is missing");
    }

    #[test]
    fn plain_names() {
        let mut files = Files::default();
        let mut lines = crate::source::NoLines;
        assert_eq!(files.file_in(b"a b", &mut lines).unwrap(), PathBuf::from("a b"));
        assert_eq!(files.file_in(b"-", &mut lines).unwrap(), PathBuf::from("/dev/stdin"));
        assert_eq!(files.file_out(b"x").unwrap(), PathBuf::from("x"));
        files.finish().unwrap();
    }

    #[test]
    fn output_into_a_program() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        let mut files = Files::default();
        let path = files.file_out(format!("|tr a b >{}", target.display()).as_bytes()).unwrap();
        fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"aXa").unwrap();
        files.finish().unwrap();
        assert_eq!(fs::read_to_string(target).unwrap(), "bXb");
        let mut files = Files::default();
        files.file_out(b"|exit 3").unwrap();
        assert_eq!(files.finish().unwrap_err().to_string(), "guestfish: exit 3: exit status: 3");
    }
}
