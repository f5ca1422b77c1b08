//! Where segments lie and what they are called; moving a finished one to the raw zone.

use crate::error::LogError;
use crate::files::{FileSystem, read_up_to, write_all_at};
use crate::format;
use bourn_event::{Micros, Offset, civil_date};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

pub(crate) const SUFFIX: &str = ".jsonl.zst";
const COPY_BYTES: usize = 1 << 20;

/// A segment as the log keeps it in mind.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    pub first_offset: Offset,
    /// Offset behind its last event.
    pub end: Offset,
    pub bytes: u64,
    pub sealed: bool,
    pub created_at: Micros,
    /// No event of it was received later.
    pub received_last: Micros,
}

/// `<first offset, 20 digits>.jsonl.zst`.
pub(crate) fn file_name(first_offset: Offset) -> String {
    format!("{first_offset:020}{SUFFIX}")
}

fn parse_name(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// `date=YYYY-MM-DD/hour=HH/<name>` under the raw zone, in UTC.
pub(crate) fn sealed_path(sealed_dir: &Path, first_offset: Offset, at: Micros) -> PathBuf {
    let seconds = at.div_euclid(1_000_000);
    let (year, month, day) = civil_date(seconds.div_euclid(86_400));
    let hour = seconds.rem_euclid(86_400) / 3_600;
    sealed_dir
        .join(format!("date={year:04}-{month:02}-{day:02}"))
        .join(format!("hour={hour:02}"))
        .join(file_name(first_offset))
}

/// All segments in offset order, `end` and `received_last` as far as their neighbours tell.
/// Of two copies of one segment (a crash while it was copied) the longer one counts.
pub(crate) fn list(files: &dyn FileSystem, dir: &Path, sealed_dir: &Path) -> Result<Vec<Segment>, LogError> {
    let mut found = Vec::new();
    collect(files, dir, false, &mut found)?;
    for date in folders(files, sealed_dir, "date=")? {
        for hour in folders(files, &date, "hour=")? {
            collect(files, &hour, true, &mut found)?;
        }
    }
    found.sort_by_key(|segment| (segment.first_offset, segment.bytes, segment.sealed));
    let mut segments: Vec<Segment> = Vec::with_capacity(found.len());
    for segment in found {
        match segments.last_mut() {
            Some(last) if last.first_offset == segment.first_offset => *last = segment,
            _ => segments.push(segment),
        }
    }
    for next in 1..segments.len() {
        segments[next - 1].end = segments[next].first_offset;
        segments[next - 1].received_last = segments[next].created_at;
    }
    Ok(segments)
}

fn folders(files: &dyn FileSystem, dir: &Path, prefix: &str) -> Result<Vec<PathBuf>, LogError> {
    let entries = files.list(dir).map_err(LogError::io(dir))?;
    let fits = entries.into_iter().filter(|entry| entry.is_dir && entry.name.starts_with(prefix));
    Ok(fits.map(|entry| dir.join(entry.name)).collect())
}

fn collect(
    files: &dyn FileSystem,
    dir: &Path,
    sealed: bool,
    found: &mut Vec<Segment>,
) -> Result<(), LogError> {
    for entry in files.list(dir).map_err(LogError::io(dir))? {
        let Some(first_offset) = parse_name(&entry.name) else { continue };
        let path = dir.join(entry.name);
        let file = match files.open(&path, false) {
            Ok(file) => file,
            // Sealed or deleted by a running writer since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(LogError::io(&path)(error)),
        };
        let start = read_up_to(&*file, 0, format::CREATED_AT_BYTES).map_err(LogError::io(&path))?;
        let created_at = format::peek_created_at(&start).unwrap_or(0);
        let bytes = file.len().map_err(LogError::io(&path))?;
        found.push(Segment {
            path,
            first_offset,
            end: first_offset,
            bytes,
            sealed,
            created_at,
            received_last: created_at,
        });
    }
    Ok(())
}

/// Moves a finished segment into the raw zone and returns where it is now. Safe to repeat after
/// a crash at any point.
pub(crate) fn seal_file(files: &dyn FileSystem, sealed_dir: &Path, segment: &Segment) -> io::Result<PathBuf> {
    let to = sealed_path(sealed_dir, segment.first_offset, segment.created_at);
    let (Some(from_dir), Some(to_dir)) = (segment.path.parent(), to.parent()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    files.create_dir_all(to_dir)?;
    match files.rename(&segment.path, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(files, &segment.path, &to)?;
            files.remove(&segment.path)?;
        }
        Err(error) => return Err(error),
    }
    for dir in [to_dir, to_dir.parent().unwrap_or(to_dir), sealed_dir, from_dir] {
        files.sync_dir(dir)?;
    }
    Ok(to)
}

fn copy(files: &dyn FileSystem, from: &Path, to: &Path) -> io::Result<()> {
    let part = to.with_extension("part");
    match files.remove(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (source, target) = (files.open(from, false)?, files.create(&part)?);
    let mut at = 0;
    loop {
        let bytes = read_up_to(&*source, at, COPY_BYTES)?;
        if bytes.is_empty() {
            break;
        }
        write_all_at(&*target, &mut [IoSlice::new(&bytes)], at)?;
        at += bytes.len() as u64;
    }
    target.sync()?;
    files.rename(&part, to)?;
    files.sync_dir(to.parent().unwrap_or(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_paths_tell_date_and_hour_in_utc() {
        let check = |at: Micros, expected: &str| {
            let path = sealed_path(Path::new("raw"), 42, at);
            assert_eq!(path, Path::new("raw").join(expected).join("00000000000000000042.jsonl.zst"));
        };
        check(0, "date=1970-01-01/hour=00");
        check(-1, "date=1969-12-31/hour=23");
        check(951_782_400_000_000, "date=2000-02-29/hour=00");
        check(1_795_243_458_000_000, "date=2026-11-21/hour=06");
        check(4_107_542_399_000_000, "date=2100-02-28/hour=23");
    }

    #[test]
    fn only_twenty_digits_are_a_segment() {
        for (name, expected) in [
            ("00000000000000000042.jsonl.zst", Some(42)),
            ("42.jsonl.zst", None),
            ("torn-42.bin", None),
            ("00000000000000000042.jsonl.zst.part", None),
            ("99999999999999999999.jsonl.zst", None),
        ] {
            assert_eq!(parse_name(name), expected, "{name}");
        }
    }
}
