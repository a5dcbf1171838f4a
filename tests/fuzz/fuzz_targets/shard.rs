//! Shards: whatever the lines, they are read or refused with their number, and what is read is written and read again as the same.
//! What was read is a shard that can be merged, cut at any of its failures.
#![no_main]

use std::path::PathBuf;

use squall_campaign::shard::{Shard, ShardId, merge};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match Shard::from_lines(bytes) {
        Ok(shard) => {
            let mut lines = Vec::new();
            shard.write_lines(&mut lines).expect("memory takes it");
            assert_eq!(Shard::from_lines(&*lines).expect("what was written can be read"), shard);
            let failures = shard.explored.failures.len() as u64;
            for max in [None, Some(1), Some(failures)] {
                let mut alone = shard.clone();
                if max != Some(0) {
                    alone.setup.max_failures = max;
                }
                alone.id = ShardId::new(1, 1).expect("there is one");
                let merged = merge([(PathBuf::new(), alone)]).expect("it is whole");
                let explored = merged.explored;
                assert_eq!(explored.runs, explored.passed + explored.failed + explored.unknown);
            }
        }
        Err((line, problem)) => assert!(line > 0 && !problem.is_empty()),
    }
});
