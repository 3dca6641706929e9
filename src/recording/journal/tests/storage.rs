//! Files on disk, whose operations fail or hang on command, and are listed in order.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::journal::storage::{FileEntry, Space};
use crate::journal::{Disk, Storage};

/// What happens to operations. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    /// The operations that fail.
    failing: Vec<&'static str>,
    /// Whether syncs of files wait.
    hangs: bool,
    /// The number of operations that wait.
    waiting: usize,
    /// Whether the next sync panics.
    panics: bool,
    done: Vec<&'static str>,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// Lets these operations fail, and all others succeed.
    pub(super) fn fail(&self, operations: &[&'static str]) {
        self.state().failing = operations.to_vec();
    }

    /// Lets syncs wait, or go on.
    pub(super) fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.0.1.notify_all();
    }

    /// Lets the next sync panic.
    pub(super) fn panic(&self) {
        self.state().panics = true;
    }

    /// Whether an operation waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.state().waiting > 0
    }

    /// Takes the operations since the last call.
    pub(super) fn done(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state().done)
    }

    fn pass(&self, operation: &'static str) -> io::Result<()> {
        let mut state = self.state();
        if operation == "sync" {
            if std::mem::take(&mut state.panics) {
                drop(state);
                panic!("a sync panics");
            }
            state.waiting += 1;
            state = self.0.1.wait_while(state, |state| state.hangs).unwrap();
            state.waiting -= 1;
        }
        state.done.push(operation);
        match state.failing.contains(&operation) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

/// The storage.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) disk: Disk,
    pub(super) faults: Faults,
}

impl Storage for Faulty {
    type File = File;

    fn list(&self) -> io::Result<Vec<FileEntry>> {
        self.faults.pass("list")?;
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.faults.pass("create")?;
        self.disk.create(name)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.faults.pass("append")?;
        self.disk.append(file, bytes)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        self.faults.pass("sync")?;
        self.disk.sync(file)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn read(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        self.faults.pass("read")?;
        self.disk.read(name, offset, most)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.faults.pass("replace")?;
        self.disk.replace(name, bytes)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.faults.pass("delete")?;
        self.disk.delete(name)
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }
}
