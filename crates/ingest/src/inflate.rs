//! Undoes `Content-Encoding` and file compression, a stretch at a time.
//!
//! Memory stays flat whatever the input claims: output is read into a fixed stretch, and a zstd
//! frame may ask for a window of at most 8 MiB (RFC 9659).

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::{self, BufRead, BufReader, Read};

/// log2 of the largest window a zstd frame may ask for, in a request.
const BODY_WINDOW_LOG: u32 = 23;
/// The same for files, which are the operator's own: what the `zstd` tool takes by default.
const FILE_WINDOW_LOG: u32 = 27;
/// Encodings one on top of the other.
const CODINGS_MAX: usize = 4;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    /// zlib format, as the standard says; raw deflate, as some send, is told by its first bytes.
    Deflate,
    Zstd,
}

impl Coding {
    /// The codings of a `Content-Encoding` in the order they were applied; the name of the first
    /// one that is not known otherwise.
    pub fn parse_list(value: &str) -> Result<Vec<Self>, String> {
        let mut codings = Vec::new();
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name.to_ascii_lowercase().as_str() {
                "identity" => {}
                "gzip" | "x-gzip" => codings.push(Self::Gzip),
                "deflate" => codings.push(Self::Deflate),
                "zstd" => codings.push(Self::Zstd),
                _ => return Err(name.to_owned()),
            }
        }
        if codings.len() > CODINGS_MAX {
            return Err(format!("{} codings at once", codings.len()));
        }
        Ok(codings)
    }
}

type Input = Box<dyn BufRead + Send>;

/// A reader of what `input` is without its codings.
pub(crate) fn body(input: Input, codings: &[Coding]) -> io::Result<Input> {
    codings.iter().rev().try_fold(input, |input, coding| inflate(input, *coding, BODY_WINDOW_LOG))
}

/// A reader of what is in a compressed file: gzip members or zstd frames, one behind the other.
pub(crate) fn file(input: Input, coding: Coding) -> io::Result<Input> {
    inflate(input, coding, FILE_WINDOW_LOG)
}

fn inflate(mut input: Input, coding: Coding, window_log: u32) -> io::Result<Input> {
    let inflated: Box<dyn Read + Send> = match coding {
        Coding::Gzip => Box::new(MultiGzDecoder::new(input)),
        Coding::Deflate if is_zlib(input.fill_buf()?) => Box::new(ZlibDecoder::new(input)),
        Coding::Deflate => Box::new(DeflateDecoder::new(input)),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(window_log)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(BufReader::with_capacity(64 << 10, inflated)))
}

/// Does it start with a zlib header (RFC 1950 §2.2)?
fn is_zlib(start: &[u8]) -> bool {
    match start {
        [cmf, flags, ..] => cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31),
        _ => false,
    }
}
