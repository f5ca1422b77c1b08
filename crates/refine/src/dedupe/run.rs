//! A sorted, immutable file of facts. Format v1, little-endian, blocks of 4096 bytes:
//!
//! ```text
//!  header (block 0)  magic 8 "bourndd\0" · version u32 · 0 u32 · seed u64 · keys' fingerprint u64 ·
//!                    count u64 · first offset u64 · end offset u64 · received min i64 · max i64 ·
//!                    filter bytes u64 · xxh3 of fences u64 · xxh3 of filter u64 · xxh3 of all before u64 · 0…
//!  facts             127 to a block: key u128 · offset u64 · received_at i64; then 24 zero bytes and
//!                    the xxh3 of the block's first 4088 bytes. The last block is filled with 0xff.
//!  fences            per block of facts: the high half of its first key, u64
//!  filter            see `filter.rs`
//! ```
//!
//! Facts are in the order of their keys, which are unique in a run. A lookup is a search in the
//! fences (in memory) and one positioned read.

use super::error::DedupeError;
use super::filter::Filter;
use super::table::Fact;
use bourn_event::{Micros, Offset};
use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

pub const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"bourndd\0";
const BLOCK: usize = 4096;
const FACT: usize = 32;
const FACTS_PER_BLOCK: usize = 127;
const HEADER: usize = 8 + 4 + 4 + 8 * 11;

const _: () = assert!(FACTS_PER_BLOCK * FACT + FACT == BLOCK, "a block's last 32 bytes are its trailer");
const _: () = assert!(HEADER <= BLOCK);

/// What a run is of; `count` and the times are filled in by writing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub seed: u64,
    pub fingerprint: u64,
    pub count: u64,
    /// The run tells all facts of `[first, end)`.
    pub first: Offset,
    pub end: Offset,
    pub received_min: Micros,
    pub received_max: Micros,
}

pub struct Run {
    pub header: Header,
    pub path: PathBuf,
    file: File,
    fences: Vec<u64>,
    filter_bytes: u64,
    filter_sum: u64,
    filter: Option<Filter>,
}

pub fn file_name(first: Offset, end: Offset) -> String {
    format!("{first:020}-{end:020}.run")
}

/// The range of a run from its file's name.
pub fn range_of(name: &str) -> Option<(Offset, Offset)> {
    let (first, end) = name.strip_suffix(".run")?.split_once('-')?;
    Some((first.parse().ok()?, end.parse().ok()?))
}

/// Writes facts, in the order of their keys, as a run that is durable when this returns. `room` is
/// at least their number.
pub fn write(
    dir: &Path,
    mut header: Header,
    room: usize,
    facts: impl Iterator<Item = Result<Fact, DedupeError>>,
) -> Result<Run, DedupeError> {
    let path = dir.join(file_name(header.first, header.end));
    let temporary = path.with_extension("tmp");
    let io = |action| DedupeError::io(&temporary, action);
    let mut file = BufWriter::with_capacity(1 << 18, File::create(&temporary).map_err(io("create it"))?);
    file.write_all(&[0; BLOCK]).map_err(io("write to it"))?;

    let (mut filter, mut fences) = (Filter::with_room_for(room), Vec::new());
    let mut block = Vec::with_capacity(BLOCK);
    for fact in facts {
        let fact = fact?;
        if block.is_empty() {
            fences.push((fact.key >> 64) as u64);
        }
        block.extend_from_slice(&fact.key.to_le_bytes());
        block.extend_from_slice(&fact.offset.to_le_bytes());
        block.extend_from_slice(&fact.received_at.to_le_bytes());
        filter.insert(fact.key);
        header.count += 1;
        header.received_max = header.received_max.max(fact.received_at);
        header.received_min = header.received_min.min(fact.received_at);
        if block.len() == FACTS_PER_BLOCK * FACT {
            finish_block(&mut block);
            file.write_all(&block).map_err(io("write to it"))?;
            block.clear();
        }
    }
    if !block.is_empty() {
        block.resize(FACTS_PER_BLOCK * FACT, 0xff);
        finish_block(&mut block);
        file.write_all(&block).map_err(io("write to it"))?;
    }
    let fence_bytes: Vec<u8> = fences.iter().flat_map(|fence| fence.to_le_bytes()).collect();
    let filter_bytes = filter.to_bytes();
    let filter_sum = xxh3_64(&filter_bytes);
    file.write_all(&fence_bytes).map_err(io("write to it"))?;
    file.write_all(&filter_bytes).map_err(io("write to it"))?;
    file.seek(SeekFrom::Start(0)).map_err(io("write to it"))?;
    let head = encode(&header, filter_bytes.len() as u64, xxh3_64(&fence_bytes), filter_sum);
    file.write_all(&head).map_err(io("write to it"))?;
    let file = file.into_inner().map_err(|e| io("write to it")(e.into_error()))?;
    file.sync_all().map_err(io("sync it"))?;
    drop(file);
    fs::rename(&temporary, &path).map_err(io("rename it"))?;
    sync_folder(dir)?;
    let file = File::open(&path).map_err(DedupeError::io(&path, "open it"))?;
    let filter_len = filter_bytes.len() as u64;
    Ok(Run { header, path, file, fences, filter_bytes: filter_len, filter_sum, filter: Some(filter) })
}

fn finish_block(block: &mut Vec<u8>) {
    block.resize(BLOCK - 8, 0);
    let sum = xxh3_64(block);
    block.extend_from_slice(&sum.to_le_bytes());
}

pub fn sync_folder(dir: &Path) -> Result<(), DedupeError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(DedupeError::io(dir, "sync the folder"))
}

fn encode(header: &Header, filter_bytes: u64, fences_sum: u64, filter_sum: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for word in [header.seed, header.fingerprint, header.count, header.first, header.end] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&header.received_min.to_le_bytes());
    out.extend_from_slice(&header.received_max.to_le_bytes());
    for word in [filter_bytes, fences_sum, filter_sum] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let sum = xxh3_64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

impl Run {
    /// Opens a run; its filter stays on disk until [`Self::load_filter`].
    pub fn open(path: &Path) -> Result<Self, DedupeError> {
        let io = |action| DedupeError::io(path, action);
        let file = File::open(path).map_err(io("open it"))?;
        let length = file.metadata().map_err(io("read its size"))?.len();
        let mut head = [0; HEADER];
        file.read_exact_at(&mut head, 0).map_err(io("read its header"))?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        if head[..8] != MAGIC {
            return Err(DedupeError::corrupt(path, "is not a run of a dedupe index"));
        }
        let version = word(8) as u32;
        if version != VERSION {
            return Err(DedupeError::Version { path: path.to_owned(), found: version, known: VERSION });
        }
        if xxh3_64(&head[..HEADER - 8]) != word(HEADER - 8) {
            return Err(DedupeError::corrupt(path, "its header does not have its checksum"));
        }
        let header = Header {
            seed: word(16),
            fingerprint: word(24),
            count: word(32),
            first: word(40),
            end: word(48),
            received_min: word(56) as Micros,
            received_max: word(64) as Micros,
        };
        let (filter_bytes, fences_sum, filter_sum) = (word(72), word(80), word(88));
        let blocks = header.count.div_ceil(FACTS_PER_BLOCK as u64);
        // In 128 bits: the numbers come from a file.
        let wanted =
            (u128::from(blocks) + 1) * BLOCK as u128 + u128::from(blocks) * 8 + u128::from(filter_bytes);
        if u128::from(length) != wanted {
            return Err(DedupeError::corrupt(
                path,
                format!("its {length} bytes are not what it should have"),
            ));
        }
        let mut fences = vec![0; blocks as usize * 8];
        file.read_exact_at(&mut fences, (blocks + 1) * BLOCK as u64).map_err(io("read it"))?;
        if xxh3_64(&fences) != fences_sum {
            return Err(DedupeError::corrupt(path, "its fences do not have their checksum"));
        }
        let fences = fences.as_chunks::<8>().0.iter().map(|fence| u64::from_le_bytes(*fence)).collect();
        Ok(Self { header, path: path.to_owned(), file, fences, filter_bytes, filter_sum, filter: None })
    }

    /// Bytes its filter takes, or would take, in memory.
    pub fn filter_bytes(&self) -> usize {
        self.filter_bytes as usize
    }

    pub fn bytes(&self) -> usize {
        self.fences.len() * 8 + self.filter.as_ref().map_or(0, Filter::bytes)
    }

    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Without it every question costs a read.
    pub fn drop_filter(&mut self) {
        self.filter = None;
    }

    pub fn load_filter(&mut self) -> Result<(), DedupeError> {
        let mut bytes = vec![0; self.filter_bytes as usize];
        let at = (self.fences.len() as u64 + 1) * BLOCK as u64 + self.fences.len() as u64 * 8;
        self.file.read_exact_at(&mut bytes, at).map_err(DedupeError::io(&self.path, "read its filter"))?;
        let filter = Filter::from_bytes(&bytes).filter(|_| xxh3_64(&bytes) == self.filter_sum);
        match filter {
            Some(filter) => self.filter = Some(filter),
            None => return Err(DedupeError::corrupt(&self.path, "its filter does not have its checksum")),
        }
        Ok(())
    }

    pub fn get(&self, key: u128) -> Result<Option<Fact>, DedupeError> {
        if self.fences.is_empty() || self.filter.as_ref().is_some_and(|filter| !filter.may_hold(key)) {
            return Ok(None);
        }
        let high = (key >> 64) as u64;
        // Keys with equal high halves may lie on both sides of a fence: then look at each block.
        let last = self.fences.partition_point(|fence| *fence <= high);
        for block in (0..last).rev() {
            let bytes = self.read_block(block)?;
            let facts = self.facts_in(&bytes, block);
            if let Ok(found) = facts.binary_search_by_key(&key, |fact| decode(fact).key) {
                return Ok(Some(decode(&facts[found])));
            }
            if self.fences[block] < high {
                break;
            }
        }
        Ok(None)
    }

    pub fn blocks(&self) -> usize {
        self.fences.len()
    }

    /// The facts of a block, checked.
    pub fn block(&self, block: usize) -> Result<Vec<Fact>, DedupeError> {
        let bytes = self.read_block(block)?;
        Ok(self.facts_in(&bytes, block).iter().map(decode).collect())
    }

    fn read_block(&self, block: usize) -> Result<[u8; BLOCK], DedupeError> {
        let mut bytes = [0; BLOCK];
        let at = (block as u64 + 1) * BLOCK as u64;
        self.file.read_exact_at(&mut bytes, at).map_err(DedupeError::io(&self.path, "read it"))?;
        let (content, sum) = bytes.split_at(BLOCK - 8);
        if xxh3_64(content).to_le_bytes() != *sum {
            let what = format!("block {block} does not have its checksum");
            return Err(DedupeError::corrupt(&self.path, what));
        }
        Ok(bytes)
    }

    fn facts_in<'a>(&self, bytes: &'a [u8; BLOCK], block: usize) -> &'a [[u8; FACT]] {
        let count = (self.header.count as usize - block * FACTS_PER_BLOCK).min(FACTS_PER_BLOCK);
        &bytes.as_chunks::<FACT>().0[..count]
    }

    /// Loads what the filter says of the keys, all at once.
    pub fn touch(&self, keys: &[u128]) {
        if let Some(filter) = &self.filter {
            filter.touch(keys);
        }
    }
}

fn decode(bytes: &[u8; FACT]) -> Fact {
    Fact {
        key: u128::from_le_bytes(std::array::from_fn(|i| bytes[i])),
        offset: u64::from_le_bytes(std::array::from_fn(|i| bytes[16 + i])),
        received_at: i64::from_le_bytes(std::array::from_fn(|i| bytes[24 + i])),
    }
}
