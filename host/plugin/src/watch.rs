//! Noticing that the file of a plugin has changed.
//!
//! Files are looked at again and again rather than watched: that works on every file system and takes nothing that a
//! machine has only so much of, and a plugin directory is small. A change counts when the file has been left alone for
//! a moment, and is told once: whoever is told may find that the file does not load, and waits for the next change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// How often files are looked at: soon enough for someone who has just copied one, and next to no work.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How long a changed file must have stayed the same; one that is being copied grows all the time.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// What changes about a file when it is written or replaced; cheaper to look at than its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp(Option<(u64, u64, SystemTime)>);

impl FileStamp {
    pub(crate) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.and_then(|metadata| Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))))
    }

    fn is_file(&self) -> bool {
        self.0.is_some()
    }
}

/// Which changes have been told already.
#[derive(Default)]
pub(crate) struct Watch {
    told: Mutex<HashMap<PathBuf, FileStamp>>,
}

impl Watch {
    /// Waits until some of these files, given as they were when they were read, have changed and settled; says which.
    /// A file that is gone has not changed: it may be about to be replaced.
    pub(crate) async fn changed(&self, files: &[(PathBuf, FileStamp)]) -> Vec<PathBuf> {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            polls.tick().await;
            let mut changed = look_at(files).await;
            changed.retain(|(path, stamp)| self.told.lock().get(path) != Some(stamp));
            if changed.is_empty() {
                continue;
            }
            tokio::time::sleep(SETTLED_AFTER).await;
            let later = look_at(files).await;
            changed.retain(|file| later.contains(file));
            if !changed.is_empty() {
                self.told.lock().extend(changed.iter().cloned());
                return changed.into_iter().map(|(path, _)| path).collect();
            }
        }
    }
}

/// Those of the files that are no longer as they were, as they are now. On the blocking pool: a file system may hang.
async fn look_at(files: &[(PathBuf, FileStamp)]) -> Vec<(PathBuf, FileStamp)> {
    let files = files.to_vec();
    let look = move || {
        let now = files.into_iter().map(|(path, then)| (FileStamp::of(&path), path, then));
        now.filter(|(now, _, then)| now.is_file() && now != then).map(|(now, path, _)| (path, now)).collect()
    };
    // A thread that cannot be had is not news about a file; the next round looks again.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) -> (PathBuf, FileStamp) {
            let path = self.file(name);
            fs::write(&path, text).unwrap();
            (path.clone(), FileStamp::of(&path))
        }
    }

    /// Whether nothing is told for a minute.
    async fn quiet(watch: &Watch, files: &[(PathBuf, FileStamp)]) -> bool {
        tokio::time::timeout(Duration::from_secs(60), watch.changed(files)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let files = [folder.write("a", "1"), folder.write("b", "1")];
        let watch = Watch::default();
        assert!(quiet(&watch, &files).await);
        folder.write("b", "22");
        assert_eq!(watch.changed(&files).await, [folder.file("b")]);
        assert!(quiet(&watch, &files).await, "whoever was told could not use it, and knows");
        folder.write("b", "333");
        folder.write("a", "22");
        assert_eq!(watch.changed(&files).await, [folder.file("a"), folder.file("b")]);
        let files = files.map(|(path, _)| (path.clone(), FileStamp::of(&path)));
        assert!(quiet(&watch, &files).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_gone_or_still_growing_is_left_alone() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let files = [folder.write("a", "1")];
        let watch = Watch::default();
        fs::remove_file(folder.file("a")).unwrap();
        assert!(quiet(&watch, &files).await);
        let growing = async {
            let mut text = String::new();
            loop {
                text.push('x');
                folder.write("a", &text);
                tokio::time::sleep(SETTLED_AFTER / 2).await;
            }
        };
        tokio::select! {
            () = growing => {}
            still = quiet(&watch, &files) => assert!(still, "told of a file that was still growing"),
        }
        assert_eq!(watch.changed(&files).await, [folder.file("a")]);
    }
}
