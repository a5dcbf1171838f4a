//! Text from outside, made safe for a terminal.
//!
//! What a node logs, names or sends is hostile: escape sequences, line breaks, marks that turn the reading direction round,
//! megabytes in a line. Nothing of it reaches a terminal unescaped.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// One line of text: what isn't printable is escaped (`\n`, `\u{1b}`, `\u{202e}`), what is wider than `columns_max` ends in `…`.
#[must_use]
pub fn line(text: &str, columns_max: usize) -> String {
    let mut shown = String::new();
    let mut columns = 0;
    for character in text.chars() {
        let before = shown.len();
        push_escaped(&mut shown, character);
        columns += shown[before..].width();
        if columns > columns_max {
            shown.truncate(before);
            return with_ellipsis(shown, columns_max);
        }
    }
    shown
}

/// One line of text as HTML and XML have it, between tags and in the value of an attribute: what isn't printable is escaped as for a terminal first, so that all of it is allowed there.
pub(crate) fn markup(text: &str, columns_max: usize) -> String {
    let mut out = String::new();
    let shown = line(text, columns_max);
    debug_assert!(shown.width() <= columns_max, "it was cut");
    for character in shown.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Printable for Rust, and not a character for XML.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// Takes characters away until `…` fits too.
fn with_ellipsis(mut shown: String, columns_max: usize) -> String {
    if columns_max == 0 {
        return String::new();
    }
    while shown.width() + 1 > columns_max {
        shown.pop();
    }
    shown.push('…');
    shown
}

/// Quotes and backslashes stay as they are: they harm no terminal, and most payloads are full of them.
fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' | '\'' | '\\' => out.push(character),
        _ => {
            let _ = write!(out, "{}", character.escape_debug());
        }
    }
}

/// Whether bytes can be shown as the text that they are: UTF-8 without anything that would have to be escaped, but for line
/// breaks and tabs.
#[must_use]
pub fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.trim().is_empty())?;
    let readable = |character: char| {
        matches!(character, '"' | '\'' | '\\' | '\n' | '\t' | '\r') || character.escape_debug().count() == 1
    };
    text.chars().all(readable).then_some(text)
}

/// One source line may fill that many.
const LINES_OF_ONE_MAX: usize = 8;

/// Several lines, each escaped and broken between words so that it fits; at most `lines_max` of them.
#[must_use]
pub fn paragraph(text: &str, columns_max: usize, lines_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for source in text.lines() {
        let escaped = line(source, columns_max.saturating_mul(LINES_OF_ONE_MAX));
        let indent: String = escaped.chars().take_while(|character| *character == ' ').take(columns_max / 2).collect();
        let mut current = indent.clone();
        for word in escaped.split(' ').filter(|word| !word.is_empty()) {
            if current.len() > indent.len() && current.width() + 1 + word.width() > columns_max {
                lines.push(std::mem::replace(&mut current, indent.clone()));
            }
            if current.len() > indent.len() {
                current.push(' ');
            }
            // A word that fits no line is broken anywhere.
            for character in word.chars() {
                if current.width() + character.width().unwrap_or(0) > columns_max {
                    lines.push(std::mem::replace(&mut current, indent.clone()));
                }
                current.push(character);
            }
        }
        lines.push(current);
    }
    if lines.len() > lines_max {
        let left_out = lines.len() - lines_max.saturating_sub(1);
        lines.truncate(lines_max.saturating_sub(1));
        lines.push(format!("… and {left_out} more lines"));
    }
    lines
}

/// Fills up with spaces to a width.
#[must_use]
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// A number and what it counts: `1 run`, `2 runs`.
#[must_use]
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Three significant digits.
#[must_use]
pub fn three_digits(number: f64) -> String {
    match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// A time in nanoseconds, with three significant digits and a unit.
#[must_use]
pub fn short_time(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (1e3, "µs"),
        999_500..999_500_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {name}", three_digits(ns as f64 / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_are_escaped() {
        for (text, shown) in [
            ("plain", "plain"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}", "\\u{7f}"),
            ("say \"hello\" to C:\\", "say \"hello\" to C:\\"),
            ("Grüße, 世界", "Grüße, 世界"),
        ] {
            assert_eq!(line(text, 100), shown);
        }
    }

    #[test]
    fn a_line_is_cut_where_it_is_one_column_too_wide() {
        assert_eq!(line("12345", 5), "12345");
        assert_eq!(line("123456", 5), "1234…");
        assert_eq!(line("世界世", 6), "世界世");
        assert_eq!(line("世界世", 5), "世界…");
        assert_eq!(line("x", 0), "");
        assert_eq!(line(&"x".repeat(1 << 20), 10), "xxxxxxxxx…");
    }

    #[test]
    fn bytes_are_text_only_if_all_of_them_are() {
        assert_eq!(as_text(b"hello\n"), Some("hello\n"));
        for bytes in [&b""[..], b"\x05hello", b"\n", b"\xff", b"\x1b[0m", "\u{202e}x".as_bytes()] {
            assert_eq!(as_text(bytes), None);
        }
    }

    #[test]
    fn paragraphs_break_between_words_and_end() {
        assert_eq!(paragraph("one two three", 8, 9), ["one two", "three"]);
        assert_eq!(paragraph("  one two three", 8, 9), ["  one", "  two", "  three"]);
        assert_eq!(paragraph("abcdefghij", 4, 9), ["abcd", "efgh", "ij"]);
        assert_eq!(paragraph("a\nb\nc\nd", 4, 3), ["a", "b", "… and 2 more lines"]);
    }

    #[test]
    fn times_have_three_digits() {
        for (ns, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (43_210_000, "43.2 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (90_000_000_000, "90.0 s"),
        ] {
            assert_eq!(short_time(ns), shown);
        }
    }
}
