//! Where a command writes: its results to standard output, everything else to standard error.
//!
//! A node's `println!` must not get among the results: standard output is kept aside at the start, and what is written to
//! it from then on goes to standard error.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;
use squall_reports::Style;

use super::exit::Stop;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MessageFormat {
    /// Text.
    Human,
    /// JSON, one object a line; the last line is the summary.
    Json,
}

/// The width of a page where there is no terminal to ask.
const COLUMNS_WITHOUT_TERMINAL: usize = 120;

/// Standard output, kept aside.
pub struct Output {
    out: BufWriter<File>,
    format: MessageFormat,
    colour: bool,
    columns: usize,
}

impl Output {
    /// Takes standard output. To be called once, before any run.
    pub fn open(format: MessageFormat, choice: clap::ColorChoice) -> io::Result<Output> {
        let is_terminal = io::stdout().is_terminal();
        let columns = columns_of_stdout().filter(|_| is_terminal).unwrap_or(COLUMNS_WITHOUT_TERMINAL).max(60);
        let out = take_stdout()?;
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let colour = match choice {
            clap::ColorChoice::Always => true,
            clap::ColorChoice::Never => false,
            clap::ColorChoice::Auto => is_terminal && !unwanted,
        };
        Ok(Output { out: BufWriter::new(out), format, colour, columns })
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.format == MessageFormat::Json
    }

    /// How a timeline is to look.
    pub fn style(&self, lines_max: Option<usize>, tasks: bool) -> Style {
        Style { colour: self.colour, columns: self.columns, lines_max, tasks, ..Style::default() }
    }

    /// Text with a line's end, for people only.
    pub fn text(&mut self, text: &str) -> Result<(), Stop> {
        if !self.is_json() {
            // In one piece: what is said on standard error meanwhile doesn't come between a long text and its line's end.
            self.out.write_all(format!("{}\n", text.trim_end_matches('\n')).as_bytes())?;
        }
        Ok(())
    }

    /// One object, for programs only.
    pub fn json(&mut self, object: &impl Serialize) -> Result<(), Stop> {
        if self.is_json() {
            serde_json::to_writer(&mut self.out, object).map_err(io::Error::from)?;
            self.out.write_all(b"\n")?;
            // Whoever reads lines wants them when they are there.
            self.out.flush()?;
        }
        Ok(())
    }

    /// Everything is written.
    pub fn flush(&mut self) -> Result<(), Stop> {
        Ok(self.out.flush()?)
    }
}

/// Whether the locale has more characters than ASCII's: that of the first variable that is set, in the order in which systems look.
pub fn is_utf8() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    match said {
        Some(locale) => locale_is_utf8(&locale.to_string_lossy()),
        None => cfg!(windows),
    }
}

fn locale_is_utf8(locale: &str) -> bool {
    let charset = locale.split_once('.').map_or("", |(_, charset)| charset).to_ascii_lowercase();
    let charset = charset.split('@').next().unwrap_or("");
    charset == "utf-8" || charset == "utf8"
}

/// A line on standard error. Whether anybody reads it doesn't matter.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(unix)]
fn take_stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    let kept = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(kept))
}

#[cfg(windows)]
fn take_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

#[cfg(unix)]
fn columns_of_stdout() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

#[cfg(windows)]
fn columns_of_stdout() -> Option<usize> {
    None
}

/// Text of several lines that came from a file: it reaches a terminal without escape sequences.
pub fn without_controls(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| squall_reports::printable::line(line, usize::MAX)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_utf8_by_its_charset() {
        for locale in ["en_US.UTF-8", "C.utf8", "de_DE.UTF-8@euro"] {
            assert!(locale_is_utf8(locale), "{locale}");
        }
        for locale in ["C", "POSIX", "de_DE", "de_DE.ISO-8859-1", "utf-8", "ru_RU.KOI8-R", ""] {
            assert!(!locale_is_utf8(locale), "{locale}");
        }
    }
}
