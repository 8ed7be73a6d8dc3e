//! Folders of this user alone, and the files in them.
//!
//! Others may write where such a folder lies, so nothing is trusted by its name: the folder must be this user's, closed to others, and
//! no symlink. Its files are opened through it, by plain names, and never through a symlink. A file is replaced in one step, so a
//! reader sees the old one or the new one whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// A folder of this user alone, open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What tells a file from every other that was or will be in its place, and from itself after a change: its number, size, and the
/// times of the last changes to its content and to anything of it, which nobody can set. Not its device, whose number may be another
/// after the machine's restart.
pub type Stamp = [u64; 6];

/// The stamp of a file.
pub fn stamp(stat: &Stat) -> Stamp {
    // Before 1970 there were no such files.
    let positive = |number: i64| u64::try_from(number).unwrap_or_default();
    let (modified, changed) = (positive(stat.st_mtime), positive(stat.st_ctime));
    [stat.st_ino, positive(stat.st_size), modified, stat.st_mtime_nsec, changed, stat.st_ctime_nsec]
}

/// Whether a file is this user's alone.
///
/// # Errors
/// In what way it is not.
pub fn is_own(stat: &Stat) -> Result<(), &'static str> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err("belongs to another user");
    }
    if stat.st_mode & 0o077 != 0 { Err("is open to other users") } else { Ok(()) }
}

impl Folder {
    /// Opens the folder, and makes it where it is missing.
    ///
    /// # Errors
    /// Where it does not belong to this user alone: what is wrong with it, and what to do, as the end of a sentence.
    pub fn make(path: &Path) -> Result<Folder, String> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(format!("cannot be made: {error}")),
        }
        Folder::open(path)?.ok_or_else(|| "was removed again".to_owned())
    }

    /// Opens the folder; none where there is none.
    ///
    /// # Errors
    /// As of [`Folder::make`].
    pub fn open(path: &Path) -> Result<Option<Folder>, String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(format!("cannot be opened: {error}")),
        };
        let stat = rustix::fs::fstat(&folder).map_err(|error| format!("cannot be looked at: {error}"))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err("belongs to another user: remove it".to_owned());
        }
        if stat.st_mode & 0o077 != 0 {
            return Err("is open to other users: remove it, or chmod it to 700".to_owned());
        }
        Ok(Some(Folder(folder)))
    }

    /// Opens a file to read; none where there is none. Whose it is, is the caller's to look at.
    ///
    /// # Errors
    /// Where it is no regular file, or cannot be opened: why, as a sentence about it.
    pub fn find(&self, name: &str) -> Result<Option<(File, Stat)>, String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err("it is a symbolic link".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| error.to_string())?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err("it is no regular file".to_owned());
        }
        Ok(Some((file, stat)))
    }

    /// What is there under a name; none where nothing is.
    pub fn look(&self, name: &str) -> Option<Stat> {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// Replaces a file, or makes it, in one step. `is_lasting` is whether it has to be whole after a power cut too.
    ///
    /// # Errors
    /// The system's. The old file stays.
    pub fn replace(&self, name: &str, bytes: &[u8], is_lasting: bool) -> io::Result<Stat> {
        let new = format!("{name}.new");
        let write = || -> io::Result<Stat> {
            // What a killed run left there goes, and so does anything else: nothing that is there is opened.
            let _ = self.remove(&new);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&self.0, new.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(bytes)?;
            if is_lasting {
                file.sync_all()?;
            }
            rustix::fs::renameat(&self.0, new.as_str(), &self.0, name)?;
            if is_lasting {
                rustix::fs::fsync(&self.0)?;
            }
            // Only now: to be renamed counts as a change.
            Ok(rustix::fs::fstat(&file)?)
        };
        // What was half written must not lie around; where nothing was, this fails and that is well.
        write().inspect_err(|_| drop(self.remove(&new)))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// The names of everything in it, sorted. What is no text is left out.
    ///
    /// # Errors
    /// The system's.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a file to be locked, and makes it where it is missing.
    ///
    /// # Errors
    /// The system's.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
