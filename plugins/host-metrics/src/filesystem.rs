//! `node_filesystem_*`: what is mounted, from `/proc/1/mounts`, and the space of each from the server.

use std::collections::BTreeSet;

use regex_lite::Regex;
use stormglass_sdk::{Metrics, Result, files, log};

use crate::config::pattern;
use crate::paths::Paths;

/// Which mounts to leave out: by default those that are no storage.
pub(crate) struct Filesystems {
    mount_points_exclude: Regex,
    fs_types_exclude: Regex,
    /// Whether a missing grant has been logged.
    denial_logged: bool,
}

/// One line of the mount table.
#[derive(Debug, PartialEq)]
struct Mount {
    device: String,
    mount_point: String,
    fs_type: String,
    read_only: bool,
}

impl Filesystems {
    pub(crate) fn new(mount_points_exclude: &str, fs_types_exclude: &str) -> Result<Self> {
        Ok(Self {
            mount_points_exclude: pattern("mount_points_exclude", mount_points_exclude)?,
            fs_types_exclude: pattern("fs_types_exclude", fs_types_exclude)?,
            denial_logged: false,
        })
    }

    pub(crate) fn collect(&mut self, paths: &Paths, out: &mut Metrics) -> Result<()> {
        // The first process sees the machine's mounts even where the server is confined, if it may be asked.
        let table = match paths.proc("1/mounts") {
            Ok(table) => table,
            Err(_) => paths.proc("self/mounts")?,
        };
        let mut seen = BTreeSet::new();
        for mount in table.lines().filter_map(Mount::parse) {
            let key = (mount.device.clone(), mount.mount_point.clone(), mount.fs_type.clone());
            if !self.is_wanted(&mount) || !seen.insert(key) {
                continue;
            }
            match files::space(&mount.mount_point) {
                Ok(volume) => mount.add(Some(&volume), out),
                Err(files::Error::Denied(_)) => self.note_denial(&mount),
                Err(_) => mount.add(None, out),
            }
        }
        Ok(())
    }

    fn is_wanted(&self, mount: &Mount) -> bool {
        !self.mount_points_exclude.is_match(&mount.mount_point)
            && !self.fs_types_exclude.is_match(&mount.fs_type)
    }

    fn note_denial(&mut self, mount: &Mount) {
        if !self.denial_logged {
            self.denial_logged = true;
            log::warn!(
                "file systems such as {} are left out; grant {{path: {0}, mode: stat}} to have them",
                mount.mount_point
            );
        }
    }
}

impl Mount {
    /// Reads a line `device mount-point type options ...`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        Some(Self {
            device: unescape(fields.next()?),
            mount_point: unescape(fields.next()?),
            fs_type: fields.next()?.to_owned(),
            read_only: fields.next()?.split(',').any(|option| option == "ro"),
        })
    }

    /// Adds this mount's series; without a volume only that its device failed to answer.
    fn add(&self, volume: Option<&files::Volume>, out: &mut Metrics) {
        let labels = [
            ("device", self.device.as_str()),
            ("fstype", self.fs_type.as_str()),
            ("mountpoint", self.mount_point.as_str()),
        ];
        out.gauge("node_filesystem_device_error", "Whether asking for the space failed.")
            .set(&labels, f64::from(volume.is_none()));
        out.gauge("node_filesystem_readonly", "Whether it is mounted read-only.")
            .set(&labels, f64::from(self.read_only));
        let Some(volume) = volume else { return };
        let gauges = [
            ("node_filesystem_size_bytes", volume.size_bytes, "Size of the file system."),
            (
                "node_filesystem_free_bytes",
                volume.free_bytes,
                "Free space, what only root may take included.",
            ),
            (
                "node_filesystem_avail_bytes",
                volume.available_bytes,
                "Free space that ordinary users may take.",
            ),
            ("node_filesystem_files", volume.inodes, "Inodes of the file system."),
            ("node_filesystem_files_free", volume.inodes_free, "Free inodes."),
        ];
        for (name, value, help) in gauges {
            out.gauge(name, help).set(&labels, value as f64);
        }
    }
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash: `\040` is a space.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match digits {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            _ => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests;
