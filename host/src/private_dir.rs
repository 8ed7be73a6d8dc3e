//! Private folders: folders of this user alone, and the files in them.
//!
//! Other users may be able to write to the parent, so a name proves nothing: the folder must belong to this user, be
//! closed to others, and not be a symlink. Its files are opened through it, by plain names, and never through a
//! symlink. A file is replaced in one step, so a reader sees the whole old one or the whole new one.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::file::{FileError, check_regular, read_bounded};

/// An open folder of this user alone.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// Identifies one version of one file: inode, size, mtime, ctime. ctime cannot be forged. The device is left out,
/// because its number can change when the machine restarts.
pub type Stamp = [u64; 6];

/// A folder that cannot be used. The text follows the folder's path.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be created.
    #[error("cannot be created: {0}")]
    Create(io::Error),
    /// It cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// It was removed while it was being opened.
    #[error("was removed by another process")]
    Removed,
    /// It belongs to another user.
    #[error("belongs to another user: remove it")]
    OtherOwner,
    /// Other users can read or write it.
    #[error("is open to other users: remove it, or set its mode to 700")]
    OpenToOthers,
}

/// A lock that another process holds, or that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has held it for too long.
    #[error("another process has held its lock for more than {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The system's error.
    #[error("cannot lock it: {0}")]
    Io(#[from] io::Error),
}

/// Tries to lock `file` until `timeout` has passed, and calls `wait` between two attempts.
///
/// # Errors
/// If another process holds the lock for that time, or the system does not lock.
pub async fn lock_within(file: File, timeout: Duration, wait: impl AsyncFn(Duration)) -> Result<File, LockError> {
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begin.elapsed() < timeout => wait(LOCK_INTERVAL).await,
            Err(TryLockError::WouldBlock) => return Err(LockError::Timeout(timeout)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// The time between two attempts to lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// Returns the time of the last change of a file's content, in nanoseconds since 1970.
pub fn modified(stat: &Stat) -> u64 {
    u64::try_from(stat.st_mtime).unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec)
}

/// Returns the stamp of a file.
pub fn stamp(stat: &Stat) -> Stamp {
    // No file is older than 1970.
    let positive = |number: i64| u64::try_from(number).unwrap_or_default();
    let (modified, changed) = (positive(stat.st_mtime), positive(stat.st_ctime));
    [stat.st_ino, positive(stat.st_size), modified, stat.st_mtime_nsec, changed, stat.st_ctime_nsec]
}

/// Checks that a file belongs to this user alone.
///
/// # Errors
/// If it belongs to another user, or is open to others.
pub fn check_owner(stat: &Stat) -> Result<(), FileError> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(FileError::OtherOwner);
    }
    if stat.st_mode & 0o077 != 0 { Err(FileError::OpenToOthers) } else { Ok(()) }
}

impl Folder {
    /// Opens the folder, and creates it if it is missing.
    ///
    /// # Errors
    /// If it does not belong to this user alone, or cannot be created.
    pub fn make(path: &Path) -> Result<Folder, FolderError> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(FolderError::Create(error.into())),
        }
        Folder::open(path)?.ok_or(FolderError::Removed)
    }

    /// Opens the folder; `None` if it does not exist.
    ///
    /// # Errors
    /// If it does not belong to this user alone, or cannot be opened.
    pub fn open(path: &Path) -> Result<Option<Folder>, FolderError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(FolderError::Open(error.into())),
        };
        let stat = rustix::fs::fstat(&folder).map_err(|error| FolderError::Open(error.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(FolderError::OtherOwner);
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(FolderError::OpenToOthers);
        }
        Ok(Some(Folder(folder)))
    }

    /// Opens a file for reading; `None` if it does not exist. The caller checks its owner.
    ///
    /// # Errors
    /// If it is not a regular file, or cannot be opened.
    pub fn find(&self, name: &str) -> Result<Option<(File, Stat)>, FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(FileError::Symlink),
            Err(Errno::NXIO) => return Err(FileError::NotRegular("a socket or a device")),
            Err(error) => return Err(FileError::Io(error.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        check_regular(&stat)?;
        Ok(Some((file, stat)))
    }

    /// Reads a file of this user alone; `None` if it does not exist.
    ///
    /// # Errors
    /// If it belongs to another user, is open to others, exceeds `limit`, or cannot be read.
    pub fn read(&self, name: &str, limit: ByteSize) -> Result<Option<Vec<u8>>, FileError> {
        let Some((file, stat)) = self.find(name)? else { return Ok(None) };
        check_owner(&stat)?;
        read_bounded(file, limit).map(Some)
    }

    /// Returns the metadata of anything with this name.
    pub fn stat(&self, name: &str) -> Option<Stat> {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// Creates or replaces a file in one step. With `durable` it is whole after a power cut too.
    ///
    /// # Errors
    /// The system's error. The old file is kept.
    pub fn replace(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<Stat> {
        let new = format!("{name}.new");
        let write = || -> io::Result<Stat> {
            // Remove the leftover of a killed run, or anything else: nothing that exists is opened.
            let _ = self.remove(&new);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&self.0, new.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(bytes)?;
            if durable {
                file.sync_all()?;
            }
            rustix::fs::renameat(&self.0, new.as_str(), &self.0, name)?;
            if durable {
                rustix::fs::fsync(&self.0)?;
            }
            // Only now, because renaming changes the stamp.
            Ok(rustix::fs::fstat(&file)?)
        };
        // Remove a half-written file. If there is none, this fails without harm.
        write().inspect_err(|_| drop(self.remove(&new)))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The system's error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Lists all names that are UTF-8, sorted.
    ///
    /// # Errors
    /// The system's error.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a lock file, and creates it if it is missing.
    ///
    /// # Errors
    /// The system's error.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Returns true if `file` is the one with this name: it was not removed or replaced after it was opened.
    ///
    /// # Errors
    /// The system's error.
    pub fn has(&self, name: &str, file: &File) -> io::Result<bool> {
        let opened = rustix::fs::fstat(file)?;
        Ok(self.stat(name).is_some_and(|stat| (stat.st_dev, stat.st_ino) == (opened.st_dev, opened.st_ino)))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
