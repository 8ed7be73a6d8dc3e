//! Files that an operator names, by an option, a variable or a path.
//!
//! Such a name can lead anywhere: to a pipe that nobody writes to, a device without an end, a folder. So a file is
//! opened without waiting, must be a regular one, and is read up to a limit. Symlinks are followed: secrets of Docker
//! and Kubernetes are symlinks.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// A file that cannot be used. The text follows the file's path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is a symbolic link.
    #[error("it is a symbolic link")]
    Symlink,
    /// It is a folder, a pipe, a device or a socket.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// It belongs to another user.
    #[error("it belongs to another user")]
    OtherOwner,
    /// Other users can read or write it.
    #[error("it is open to other users")]
    OpenToOthers,
    /// It is larger than the limit.
    #[error("it exceeds {:.0}", .0.display().iec())]
    TooLarge(ByteSize),
    /// It has no content.
    #[error("it is empty")]
    Empty,
    /// It is not UTF-8 text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that an option or a variable names, and that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name} {}: {source}", path.display())]
pub struct Error {
    /// The option, as it is typed, or the variable.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The fault.
    pub source: FileError,
}

/// Reads the file that the option or variable `name` names, of at most `limit`.
///
/// # Errors
/// If it is not a regular file, is empty or larger, or cannot be read.
pub fn read_named(name: &str, path: &Path, limit: ByteSize) -> Result<Vec<u8>, Error> {
    let bytes = read(path, limit);
    let bytes = bytes.and_then(|bytes| if bytes.is_empty() { Err(FileError::Empty) } else { Ok(bytes) });
    bytes.map_err(|source| Error { name: name.to_owned(), path: path.to_owned(), source })
}

/// Reads a text file, as [`read_named`] does.
///
/// # Errors
/// As [`read_named`], or if it is not UTF-8.
pub fn read_named_text(name: &str, path: &Path, limit: ByteSize) -> Result<String, Error> {
    let not_text = |_| Error { name: name.to_owned(), path: path.to_owned(), source: FileError::NotText };
    String::from_utf8(read_named(name, path, limit)?).map_err(not_text)
}

/// Reads a regular file of at most `limit`.
///
/// # Errors
/// If it is not a regular file, is larger, or cannot be read.
pub fn read(path: &Path, limit: ByteSize) -> Result<Vec<u8>, FileError> {
    read_bounded(open(path)?, limit)
}

/// Opens a regular file for reading, without waiting for the other end of a pipe.
///
/// # Errors
/// If it is not a regular file, or cannot be opened.
pub fn open(path: &Path) -> Result<File, FileError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // Linux opens no socket, and some devices only if there is hardware.
        Err(Errno::NXIO) => return Err(FileError::NotRegular("a socket or a device")),
        Err(error) => return Err(FileError::Io(error.into())),
    };
    check_regular(&rustix::fs::fstat(&file).map_err(io::Error::from)?)?;
    Ok(file)
}

/// Checks that an open file is a regular one.
///
/// # Errors
/// If it is anything else.
pub fn check_regular(stat: &Stat) -> Result<(), FileError> {
    Err(FileError::NotRegular(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a folder",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    }))
}

/// Reads a whole file of at most `limit`.
///
/// # Errors
/// If it is larger, or cannot be read.
pub fn read_bounded(file: File, limit: ByteSize) -> Result<Vec<u8>, FileError> {
    let size = file.metadata().map(|file| file.len()).unwrap_or_default();
    if size > limit.as_u64() {
        return Err(FileError::TooLarge(limit));
    }
    // One buffer of the right size. A file of /proc reports no size, and any can grow, so the limit is checked again.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    file.take(limit.as_u64() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit.as_u64() { Err(FileError::TooLarge(limit)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_file_of_the_limit_is_read_and_a_larger_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (size, is_read) in [(0, true), (1000, true), (1001, false)] {
            std::fs::write(&path, vec![7; size]).unwrap();
            let bytes = read_bounded(open(&path).unwrap(), ByteSize::b(1000));
            assert_eq!(bytes.ok().map(|bytes| bytes.len()), is_read.then_some(size));
        }
        let endless = read_bounded(File::open("/dev/zero").unwrap(), ByteSize::b(1000));
        assert!(matches!(endless, Err(FileError::TooLarge(_))), "{endless:?}");
    }

    #[test]
    fn only_regular_files_are_read_and_the_error_names_option_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        std::fs::write(path("large"), "x".repeat(11)).unwrap();
        std::fs::write(path("latin"), b"\xe9").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        symlink("file", path("link")).unwrap();
        symlink("/dev/zero", path("endless")).unwrap();
        symlink("loop", path("loop")).unwrap();
        let fault = |name: &str| {
            let text = read_named_text("--password-file", &path(name), ByteSize::b(10));
            text.map_err(|error| {
                let error = error.to_string();
                let prefix = format!("cannot read --password-file {}: ", path(name).display());
                error.strip_prefix(&prefix).unwrap_or(&error).to_owned()
            })
        };
        for name in ["file", "link"] {
            assert_eq!(fault(name), Ok("text".to_owned()));
        }
        let faults = [
            ("empty", "it is empty"),
            ("large", "it exceeds 10 B"),
            ("latin", "it is not UTF-8 text"),
            ("folder", "it is a folder, not a regular file"),
            ("pipe", "it is a pipe, not a regular file"),
            ("socket", "it is a socket or a device, not a regular file"),
            ("endless", "it is a device, not a regular file"),
            ("loop", "Too many levels of symbolic links (os error 40)"),
            ("missing", "No such file or directory (os error 2)"),
        ];
        for (name, expected) in faults {
            assert_eq!(fault(name), Err(expected.to_owned()), "{name}");
        }
    }
}
