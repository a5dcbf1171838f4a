//! Colours, or none: the few that a report uses, by meaning.

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something failed.
    Bad,
    /// Something passed.
    Good,
    /// Nobody can say, or something was taken away: a loss, a crash.
    Wary,
    /// A name.
    Name,
    /// What may be passed over.
    Faint,
}

/// Wraps `text` in the escape sequences of its tone, if colours are wanted.
#[must_use]
pub fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if !colour || text.is_empty() {
        return text.to_string();
    }
    let code = match tone {
        Tone::Bad => "1;31",
        Tone::Good => "32",
        Tone::Wary => "33",
        Tone::Name => "36",
        Tone::Faint => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
