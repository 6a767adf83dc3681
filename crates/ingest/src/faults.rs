//! The moments at which a crash or an error is most likely to lose or double rows, named so that tests can stop there.

use std::{fmt::Debug, io};

use lakebed_types::Result;

/// A moment between two steps that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Records are written, and not on stable storage yet.
    BeforeSync,
    /// Records are on stable storage, and nobody has been told.
    AfterSync,
    /// A new log file is there, and its name is not on stable storage yet.
    FileCreated,
    /// A flush has written its files, and nothing says so yet.
    FilesWritten,
    /// The log says which files a flush will commit, and the commit has not begun.
    IntentWritten,
    /// A flush is committed, and the rows are still in memory and in the log.
    Committed,
    /// A log file that nobody needs any more is about to be deleted.
    BeforeDelete,
    /// A table's columns have grown, and the rows that need them are not in the log.
    ColumnsAdded,
    /// A merge is committed, and the node still has the lease for it.
    Merged,
    /// A checkpoint is written, and the versions that it stands for are all there still.
    Checkpointed,
}

/// Where tests stop or fail the service.
pub trait Faults: Debug + Send + Sync {
    /// Called at each window. An error is treated as one of the step that comes next.
    ///
    /// # Errors
    /// What the test wants to go wrong.
    fn at(&self, window: Window) -> Result<()>;

    /// Called before each write to the log; Err stands for an error of the disk.
    ///
    /// # Errors
    /// What the disk should say.
    fn write(&self) -> io::Result<()> {
        Ok(())
    }

    /// Called before each fsync of the log; Err stands for an error of the disk.
    ///
    /// # Errors
    /// What the disk should say.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing goes wrong that does not go wrong by itself.
#[derive(Debug, Clone, Copy)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _: Window) -> Result<()> {
        Ok(())
    }
}
