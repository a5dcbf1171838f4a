//! Traces: bytes as they are, and as the lines of an archive that is whole.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzzed.trace.zst");
    let _ = squall::trace_file::read_from(bytes, path);
    if let Ok(packed) = zstd::encode_all(bytes, 1) {
        let _ = squall::trace_file::read_from(&*packed, path);
    }
});
