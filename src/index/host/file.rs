//! Making the file, checking that it is one of ours, and mapping it.

use super::HostError;
use crate::clock;
use crate::index::memory::{LABEL_BORN, Memory, Region, SLOTS, Source, unique};
use rustix::fs::{self, Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::{CString, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Write};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};

/// Read in the byte order of this machine: a file of another is no file of ours.
const MAGIC: u64 = u64::from_be_bytes(*b"cr-gener");
/// Of the layout of [`Memory`] and of the rules in `slots`.
const VERSION: u64 = 2;
const SIZE: usize = size_of::<Memory>();
/// The first page, which is what is not all zeroes in a new file.
const PAGE: usize = 4096;
const ATTEMPTS: usize = 16;
const OWNER: Mode = Mode::RUSR.union(Mode::WUSR);

type Label = [u64; 8];

fn label(born: i64) -> Label {
    let mut label = [MAGIC, VERSION, SIZE as u64, SLOTS as u64, 0, 0, 0, 0];
    label[LABEL_BORN] = born.cast_unsigned();
    label
}

/// A place for a table that the processes of this host share.
pub struct HostFile {
    path: PathBuf,
    c_path: CString,
    directory: PathBuf,
    name: OsString,
    user: Option<u32>,
}

/// The file behind a region.
pub struct Mapping {
    device: u64,
    inode: u64,
    path: CString,
    user: Option<u32>,
}

/// Whose process this is.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl HostFile {
    /// The place of that name, which is right for `user` alone. Nothing is looked at yet.
    pub fn at(path: &Path, user: Option<u32>) -> Result<Self, HostError> {
        let error =
            |reason: String| HostError::new(path, reason, "name a file, as /run/shop/index");
        // Where the process goes later does not matter.
        let path = std::path::absolute(path).map_err(|e| error(e.to_string()))?;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(error("it has no file name".into()));
        };
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|e| error(e.to_string()))?;
        Ok(Self { c_path, directory: directory.to_owned(), name: name.to_owned(), path, user })
    }

    /// Maps the file, which is made if it is not there.
    pub fn map(&self) -> Result<Region, HostError> {
        let directory = self.directory()?;
        for _ in 0..ATTEMPTS {
            match self.open(&directory)? {
                Some(file) => return self.map_file(&file),
                None => self.create(&directory)?,
            }
        }
        Err(self.error("somebody keeps deleting it", "find out who does"))
    }

    /// What would keep [`map`](Self::map) from its work, as far as that shows without making the file.
    pub fn inspect(&self) -> Result<(), HostError> {
        let directory = self.directory()?;
        if let Some(file) = self.open(&directory)? {
            let metadata = file.metadata().map_err(|e| self.failed("look at", e, "try another"))?;
            return self.check(&file, &metadata);
        }
        fs::accessat(&directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|errno| self.failed("create", errno, "let this user write to its directory"))
    }

    /// The file, if it is there.
    fn open(&self, directory: &File) -> Result<Option<File>, HostError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = || fs::openat(directory, &self.name, flags, Mode::empty());
        match rustix::io::retry_on_intr(open) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::MLINK) => {
                Err(self.error("it is a symbolic link", "name the file itself"))
            }
            Err(errno) => Err(self.failed("open", errno, "let this user read and write it")),
        }
    }

    fn directory(&self) -> Result<File, HostError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::io::retry_on_intr(|| fs::open(&self.directory, flags, Mode::empty()));
        let remedy = "make the directory, for this user alone";
        let directory =
            opened.map(File::from).map_err(|e| self.failed("open the directory of", e, remedy))?;
        let mode = directory.metadata().map_err(|e| self.failed("look at", e, remedy))?.mode();
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let reason = format!("others can write to its directory (mode {:o})", mode & 0o7777);
            return Err(
                self.error(reason, "chmod go-w the directory, or name one of this user's own")
            );
        }
        Ok(directory)
    }

    /// Makes the file whole before it has its name, which it gets only if nobody else has it by then.
    fn create(&self, directory: &File) -> Result<(), HostError> {
        let made = self.create_unnamed(directory);
        made.unwrap_or_else(|| self.create_named(directory)).map_err(|error| {
            let remedy =
                "name one in a directory with 10 MB of room, best on a tmpfs (/run, /dev/shm)";
            self.failed("create", error, remedy)
        })
    }

    /// Has no other name before, so that who is killed leaves nothing. `None`: there are no such files
    /// here.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn create_unnamed(&self, directory: &File) -> Option<io::Result<()>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let open = || fs::openat(directory, ".", flags, OWNER);
        let file = File::from(rustix::io::retry_on_intr(open).ok()?);
        if let Err(error) = fill(&file) {
            return Some(Err(error));
        }
        // To name the descriptor itself takes a privilege.
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = AtFlags::SYMLINK_FOLLOW;
        match fs::linkat(fs::CWD, opened, directory, &self.name, flags) {
            Ok(()) | Err(Errno::EXIST) => Some(Ok(())),
            Err(_) => None,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(clippy::unused_self)]
    pub fn create_unnamed(&self, _directory: &File) -> Option<io::Result<()>> {
        None
    }

    /// Has a hidden name before.
    pub fn create_named(&self, directory: &File) -> io::Result<()> {
        let mut temporary = OsString::from(".");
        temporary.push(&self.name);
        temporary.push(format!(".{:016x}", unique()));
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || fs::openat(directory, &temporary, flags, OWNER);
        let file = File::from(rustix::io::retry_on_intr(open)?);
        let made = fill(&file).and_then(|()| {
            match fs::linkat(directory, &temporary, directory, &self.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        });
        let _ = fs::unlinkat(directory, &temporary, AtFlags::empty());
        made
    }

    fn map_file(&self, file: &File) -> Result<Region, HostError> {
        let metadata = file.metadata().map_err(|e| self.failed("look at", e, "try another"))?;
        self.check(file, &metadata)?;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping, which takes nobody's place.
        let address = unsafe { rustix::mm::mmap(null_mut(), SIZE, access, flags, file, 0) };
        let address = address.map_err(|e| self.failed("map", e, "put it on a tmpfs"))?;
        let memory = NonNull::new(address.cast()).expect("nothing is mapped at zero");
        let (device, inode) = (metadata.dev(), metadata.ino());
        let mapping = Mapping { device, inode, path: self.c_path.clone(), user: self.user };
        // SAFETY: it is as long as a `Memory`, lies at a page, and stays until the region goes. Any
        // bytes are a valid `Memory`, and whoever else maps them changes them by atomics only.
        Ok(unsafe { Region::over(memory, Source::File(mapping)) })
    }

    fn check(&self, file: &File, metadata: &Metadata) -> Result<(), HostError> {
        let other = "name a file that cache_result makes itself";
        if !metadata.is_file() {
            return Err(self.error("it is no regular file", other));
        }
        let user = user();
        if metadata.uid() != user {
            let reason = format!("user {} owns it, and this is user {user}", metadata.uid());
            return Err(self.error(reason, "run all workers as one user, or name a file for each"));
        }
        if metadata.mode() & 0o077 != 0 {
            let reason = format!("others may use it (mode {:o})", metadata.mode() & 0o777);
            return Err(self.error(reason, "delete it, or chmod it to 600"));
        }
        let mut bytes = [0; size_of::<Label>()];
        let _ = file.read_exact_at(&mut bytes, 0); // a shorter one stays without magic
        let (words, _) = bytes.as_chunks::<8>();
        let found = |at: usize| u64::from_ne_bytes(words[at]);
        if found(0) != MAGIC {
            return Err(self.error("it is no table of cache_result", other));
        }
        if found(1) != VERSION {
            let reason = format!("its format is version {}, ours is {VERSION}", found(1));
            return Err(self.error(
                reason,
                "name a file for each release, or stop the other's workers and delete it",
            ));
        }
        let expected = label(0);
        if found(2) != expected[2] || found(3) != expected[3] || metadata.len() != expected[2] {
            let reason = format!("its size is {}, not {SIZE} bytes", metadata.len());
            return Err(self.error(reason, "stop the workers that use it and delete it"));
        }
        Ok(())
    }

    fn failed(&self, what: &str, error: impl Into<io::Error>, remedy: &'static str) -> HostError {
        self.error(format!("cannot {what} it: {}", error.into()), remedy)
    }

    fn error(&self, reason: impl Into<String>, remedy: &'static str) -> HostError {
        HostError::new(&self.path, reason, remedy)
    }
}

/// Writes a table in which nothing has changed yet. The zeroes are written as well: a page that finds no
/// room once it is mapped kills the process that touches it.
fn fill(mut file: &File) -> io::Result<()> {
    // The umask may have taken more than it should.
    fs::fchmod(file, OWNER)?;
    let words = label(clock::now_ms()).into_iter().chain([unique()]);
    let mut page: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    page.resize(PAGE, 0);
    file.write_all(&page)?;
    let zeroes = vec![0; 1 << 18];
    let mut left = SIZE - PAGE;
    while left > 0 {
        let part = left.min(zeroes.len());
        file.write_all(&zeroes[..part])?;
        left -= part;
    }
    // A file system that crashes would otherwise keep the name and lose what it names.
    file.sync_all()
}

impl Mapping {
    /// Whether the path still leads to this file, and this process is still of the user whose it is.
    pub fn is_still_right(&self) -> bool {
        let stat = fs::lstat(&self.path);
        // The types of `stat` differ from system to system.
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
        let is_there = stat.is_ok_and(|stat| {
            (stat.st_dev as u64, stat.st_ino as u64, stat.st_size as u64)
                == (self.device, self.inode, SIZE as u64)
        });
        is_there && self.user.is_none_or(|its| its == user())
    }

    /// Whether they are the files of two users.
    pub fn is_of_other_user(&self, other: &Self) -> bool {
        self.user != other.user
    }

    /// Whether two mappings are of one file.
    pub fn is_of_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Ends a mapping.
    ///
    /// # Safety
    /// `memory` is the memory of this mapping's region, and nobody uses it any more.
    pub unsafe fn unmap(memory: NonNull<Memory>) {
        // SAFETY: by contract.
        let _ = unsafe { rustix::mm::munmap(memory.as_ptr().cast(), SIZE) };
    }
}
