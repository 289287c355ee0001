//! A folder for the files of one test.

use crate::program::scratch_path;
use std::path::PathBuf;

/// A folder that goes away with all that is in it.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one, in the system's folder for temporary files.
    pub fn new(name: &str) -> Self {
        let path = scratch_path(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Where a file of this name is in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
