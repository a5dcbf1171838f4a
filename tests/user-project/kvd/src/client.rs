//! The client.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};

use crate::os::net::TcpStream;
use crate::os::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection to a store. One on which a call has failed or was given up is of no use any more.
pub struct Client {
    answers: Lines<BufReader<OwnedReadHalf>>,
    questions: OwnedWriteHalf,
}

impl Client {
    /// Connects to a store.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(address: &str) -> io::Result<Client> {
        let (reader, questions) = TcpStream::connect(address).await?.into_split();
        Ok(Client { answers: BufReader::new(reader).lines(), questions })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn get(&mut self, key: &str) -> io::Result<Option<String>> {
        let answer = self.call(&["GET", key]).await?;
        match answer.split_once(' ') {
            Some(("VALUE", value)) => Ok(Some(value.to_string())),
            _ if answer == "NONE" => Ok(None),
            _ => Err(io::Error::other(answer)),
        }
    }

    /// Sets a key, for so long or for good.
    ///
    /// # Errors
    /// If the connection broke: nobody knows whether the key is set then.
    pub async fn set(&mut self, key: &str, value: &str, lives: Option<Duration>) -> io::Result<()> {
        let lives_ms = lives.map(|lives| lives.as_millis().to_string());
        match &lives_ms {
            Some(lives_ms) => self.write(&["SET", key, value, lives_ms]).await,
            None => self.write(&["SET", key, value]).await,
        }
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// If the connection broke: nobody knows whether it is deleted then.
    pub async fn delete(&mut self, key: &str) -> io::Result<()> {
        self.write(&["DELETE", key]).await
    }

    async fn write(&mut self, words: &[&str]) -> io::Result<()> {
        let answer = self.call(words).await?;
        if answer == "OK" { Ok(()) } else { Err(io::Error::other(answer)) }
    }

    async fn call(&mut self, words: &[&str]) -> io::Result<String> {
        if words.iter().any(|word| word.is_empty() || word.contains(char::is_whitespace)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a key or value is empty or holds white space"));
        }
        self.questions.write_all(format!("{}\n", words.join(" ")).as_bytes()).await?;
        self.answers.next_line().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
