//! A simulated storage: it crashes at any step and within a write, loses what was not durable or leaves zeros in its place, fails, and is
//! full.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use crate::journal::storage::{FileEntry, Space, Storage};

/// A kind of crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what was written stays.
    Process,
    /// The power fails: what is not durable may be lost.
    Power,
}

/// The storage. Clones share the files, also those of a process that has crashed.
#[derive(Debug, Clone)]
pub struct Simulated(Arc<Mutex<State>>);

/// A file that is being written.
#[derive(Debug)]
pub struct Handle {
    inode: usize,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    inodes: Vec<Inode>,
    /// As processes see it.
    directory: BTreeMap<String, usize>,
    /// As it is after a power failure, at least.
    durable: BTreeMap<String, usize>,
    /// The number of steps until the crash.
    fuel: Option<u64>,
    has_crashed: bool,
    /// The share of operations that fail.
    failing: f64,
    /// The number of bytes of all files together.
    capacity: u64,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    content: Vec<u8>,
    /// The length of the durable part.
    durable: usize,
    /// Whether a sync failed: later ones succeed and do nothing.
    has_failed: bool,
}

impl Simulated {
    /// An empty storage.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::with_seed(seed),
            inodes: Vec::new(),
            directory: BTreeMap::new(),
            durable: BTreeMap::new(),
            fuel: None,
            has_crashed: false,
            failing: 0.0,
            capacity: u64::MAX,
        })))
    }

    /// Crashes after this number of steps.
    pub fn crash_after(&self, steps: u64) {
        self.state().fuel = Some(steps);
    }

    /// Lets this share of operations fail.
    pub fn fail(&self, share: f64) {
        self.state().failing = share;
    }

    /// Limits the number of bytes of all files together.
    pub fn limit(&self, capacity: u64) {
        self.state().capacity = capacity;
    }

    pub fn has_crashed(&self) -> bool {
        self.state().has_crashed
    }

    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Starts again after a crash, with the files that are left.
    pub fn start(&self, crash: Crash) {
        let mut state = self.state();
        state.has_crashed = false;
        state.fuel = None;
        if crash == Crash::Power {
            state.lose();
        }
    }

    /// Changes a byte of a file, as a defect of the medium does.
    pub fn damage(&self, name: &str, at: usize) {
        let mut state = self.state();
        let inode = state.directory[name];
        state.inodes[inode].content[at] ^= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn used(&self) -> u64 {
        let inodes = self.directory.values();
        inodes
            .map(|inode| self.inodes[*inode].content.len() as u64)
            .sum()
    }

    /// Applies a power failure.
    fn lose(&mut self) {
        // Each change of the directory that was not synced may have become durable, or not.
        let names = self.directory.keys().chain(self.durable.keys());
        let names: Vec<_> = names.cloned().collect();
        for name in names {
            let kept = match self.rng.bool() {
                true => self.directory.get(&name),
                false => self.durable.get(&name),
            };
            match kept.copied() {
                Some(inode) => drop(self.durable.insert(name, inode)),
                None => drop(self.durable.remove(&name)),
            }
        }
        self.directory = self.durable.clone();
        let left: Vec<_> = self.directory.values().copied().collect();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            if !left.contains(&number) {
                *inode = Inode::default();
            }
        }
        for inode in &mut self.inodes {
            let length = self.rng.usize(inode.durable..=inode.content.len());
            inode.content.truncate(length);
            // The length of a file may become durable before its content.
            if self.rng.bool() && length > inode.durable {
                let from = self.rng.usize(inode.durable..length);
                let to = match self.rng.bool() {
                    true => length,
                    false => self.rng.usize(from..=length),
                };
                inode.content[from..to].fill(0);
            }
            inode.durable = length;
        }
    }

    /// One step of an operation. Fails if the process has crashed, or crashes now.
    fn step(&mut self) -> io::Result<()> {
        if self.has_crashed {
            return Err(io::Error::other("crashed"));
        }
        if let Some(fuel) = &mut self.fuel {
            if *fuel == 0 {
                self.has_crashed = true;
                return Err(io::Error::other("crashes"));
            }
            *fuel -= 1;
        }
        Ok(())
    }

    /// One step that may also fail.
    fn fallible_step(&mut self) -> io::Result<()> {
        self.step()?;
        match self.rng.f64() < self.failing {
            true => Err(io::Error::other("fails")),
            false => Ok(()),
        }
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        let inode = self.directory.get(name);
        inode.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn add(&mut self, content: Vec<u8>) -> usize {
        self.inodes.push(Inode {
            content,
            ..Inode::default()
        });
        self.inodes.len() - 1
    }

    /// Writes a part of the bytes, and fails.
    fn tear(&mut self, inode: usize, bytes: &[u8]) {
        let length = self.rng.usize(0..=bytes.len());
        self.inodes[inode]
            .content
            .extend_from_slice(&bytes[..length]);
    }
}

impl Storage for Simulated {
    type File = Handle;

    fn list(&self) -> io::Result<Vec<FileEntry>> {
        let mut state = self.state();
        state.fallible_step()?;
        let files = state.directory.iter();
        let entry = |(name, inode): (&String, &usize)| FileEntry {
            name: name.clone(),
            length: state.inodes[*inode].content.len() as u64,
        };
        Ok(files.map(entry).collect())
    }

    fn create(&self, name: &str) -> io::Result<Handle> {
        let mut state = self.state();
        state.fallible_step()?;
        if state.directory.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.add(Vec::new());
        state.directory.insert(name.to_owned(), inode);
        if state.failing > 0.0 {
            // Over a network, the reply may get lost.
            state.fallible_step()?;
        }
        Ok(Handle { inode })
    }

    fn append(&self, file: &mut Handle, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let room = state.capacity.saturating_sub(state.used());
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let was_alive = !state.has_crashed;
        if let Err(error) = state.fallible_step() {
            if was_alive {
                state.tear(file.inode, &bytes[..bytes.len().min(room)]);
            }
            return Err(error);
        }
        let fitting = &bytes[..bytes.len().min(room)];
        state.inodes[file.inode].content.extend_from_slice(fitting);
        match fitting.len() < bytes.len() {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn sync(&self, file: &mut Handle) -> io::Result<()> {
        let mut state = self.state();
        let result = state.fallible_step();
        let inode = &mut state.inodes[file.inode];
        inode.has_failed |= result.is_err();
        if !inode.has_failed {
            inode.durable = inode.content.len();
        }
        result
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.fallible_step()?;
        state.durable = state.directory.clone();
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.fallible_step()?;
        let content = &state.inodes[state.inode(name)?].content;
        let rest = content.get(offset as usize..).unwrap_or_default();
        Ok(rest[..rest.len().min(most)].to_vec())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        // The temporary file is written, synced, renamed, and the directory is synced.
        state.fallible_step()?;
        if state.used() + bytes.len() as u64 > state.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.add(bytes.to_vec());
        state.fallible_step()?;
        state.inodes[inode].durable = bytes.len();
        state.fallible_step()?;
        state.directory.insert(name.to_owned(), inode);
        state.fallible_step()?;
        state.durable = state.directory.clone();
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.fallible_step()?;
        state.inode(name)?;
        state.directory.remove(name);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let mut state = self.state();
        state.fallible_step()?;
        Ok(Space {
            free: state.capacity.saturating_sub(state.used()),
            total: state.capacity,
        })
    }
}

#[test]
fn the_simulated_storage_loses_and_tears_what_is_not_durable() {
    let mut lengths = std::collections::BTreeSet::new();
    let mut has_zeros = false;
    let mut has_lost_name = false;
    for seed in 0..200 {
        let storage = Simulated::new(seed);
        let mut file = storage.create("a").unwrap();
        storage.append(&mut file, b"durable").unwrap();
        storage.sync(&mut file).unwrap();
        storage.sync_directory().unwrap();
        storage.append(&mut file, b"not").unwrap();
        storage.create("b").unwrap();
        storage.crash_after(0);
        assert!(storage.append(&mut file, b"torn").is_err());
        assert!(storage.list().is_err(), "the process has ended");
        storage.start(Crash::Power);
        let content = storage.read("a", 0, 99).unwrap();
        assert!(content.starts_with(b"durable"));
        lengths.insert(content.len());
        has_zeros |= content.contains(&0);
        has_lost_name |= storage.list().unwrap().len() == 1;
        // What is left is durable.
        storage.start(Crash::Power);
        assert_eq!(storage.read("a", 0, 99).unwrap(), content);
    }
    assert_eq!(Vec::from_iter(lengths), Vec::from_iter(7..=14));
    assert!(has_zeros && has_lost_name);
    let storage = Simulated::new(1);
    let mut file = storage.create("a").unwrap();
    storage.append(&mut file, b"written").unwrap();
    storage.start(Crash::Process);
    assert_eq!(storage.read("a", 0, 99).unwrap(), b"written");
    storage.limit(9);
    let error = storage.append(&mut file, b"full").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(storage.read("a", 0, 99).unwrap(), b"writtenfu");
    storage.fail(1.0);
    assert!(storage.sync(&mut file).is_err());
    storage.fail(0.0);
    storage.sync(&mut file).unwrap();
    assert!(storage.replace("b", b"longer").is_err());
}
