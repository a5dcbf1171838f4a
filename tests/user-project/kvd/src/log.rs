//! The log on the disk: a line for each write, with a checksum.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::os::fs::{File, OpenOptions};

/// A write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub key: String,
    /// `None` if the key was deleted.
    pub value: Option<String>,
    /// When the key expires, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
}

impl Record {
    fn line(&self) -> io::Result<String> {
        let text = serde_json::to_string(self)?;
        Ok(format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())))
    }

    /// `None` if the line isn't whole.
    fn parse(line: &[u8]) -> Option<Record> {
        let line = str::from_utf8(line).ok()?;
        let (checksum, text) = line.split_once(' ')?;
        let is_whole = u32::from_str_radix(checksum, 16) == Ok(crc32fast::hash(text.as_bytes()));
        if is_whole { serde_json::from_str(text).ok() } else { None }
    }
}

pub struct Log {
    file: File,
}

impl Log {
    /// Opens the log, or creates it. What a crash left of its end is cut off: nobody had an answer to that.
    pub async fn open(path: &Path) -> io::Result<(Log, Vec<Record>)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).await?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await?;
        let (mut records, mut whole) = (Vec::new(), 0);
        while let Some(length) = bytes[whole..].iter().position(|byte| *byte == b'\n') {
            let Some(record) = Record::parse(&bytes[whole..whole + length]) else { break };
            records.push(record);
            whole += length + 1;
        }
        if whole < bytes.len() {
            file.set_len(whole as u64).await?;
        }
        file.sync_all().await?;
        // The name is the directory's; that of a name alone is empty.
        let directory = path.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
        File::open(directory).await?.sync_all().await?;
        Ok((Log { file }, records))
    }

    pub async fn append(&mut self, records: impl Iterator<Item = &Record>) -> io::Result<()> {
        let lines = records.map(Record::line).collect::<io::Result<String>>()?;
        self.file.write_all(lines.as_bytes()).await?;
        // Without it nobody hears that a write failed.
        self.file.flush().await
    }

    pub async fn sync(&self) -> io::Result<()> {
        self.file.sync_data().await
    }
}
