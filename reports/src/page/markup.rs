//! HTML and SVG that is put together here: whatever isn't a constant of this crate is written as text.

use crate::printable::line;

/// How wide one line of text may be, in columns.
const COLUMNS_MAX: usize = 4_000;

/// How many lines of one text are shown.
const LINES_MAX: usize = 200;

/// Markup. Names of elements and of attributes are constants; values and texts are escaped.
#[derive(Default)]
pub(super) struct Markup(String);

/// An attribute and its value.
pub(super) type Attribute<'a> = (&'static str, &'a str);

impl Markup {
    /// Opens an element.
    pub(super) fn open(&mut self, element: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(element);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.0.push_str(&escaped(value));
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Closes an element.
    pub(super) fn close(&mut self, element: &'static str) {
        self.0.push_str("</");
        self.0.push_str(element);
        self.0.push('>');
    }

    /// A line of text; what isn't printable is escaped as for a terminal.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(&escaped(text));
    }

    /// An element with a line of text in it.
    pub(super) fn element(&mut self, element: &'static str, attributes: &[Attribute<'_>], text: &str) {
        self.open(element, attributes);
        self.text(text);
        self.close(element);
    }

    /// An element with others in it.
    pub(super) fn within(
        &mut self,
        element: &'static str,
        attributes: &[Attribute<'_>],
        fill: impl FnOnce(&mut Markup),
    ) {
        self.open(element, attributes);
        fill(self);
        self.close(element);
    }

    /// A part of a page, with its heading. The name is its address in the page.
    pub(super) fn section(&mut self, name: &'static str, heading: &str, fill: impl FnOnce(&mut Markup)) {
        self.0.push('\n');
        self.within("section", &[("id", name), ("aria-label", heading)], |out| {
            out.element("h2", &[], heading);
            fill(out);
        });
    }

    /// Several lines, as they are.
    pub(super) fn lines(&mut self, attributes: &[Attribute<'_>], text: &str) {
        self.open("pre", attributes);
        for (number, said) in text.lines().enumerate() {
            if number > 0 {
                self.0.push('\n');
            }
            if number == LINES_MAX {
                self.0.push_str("… (cut here)");
                break;
            }
            self.text(said);
        }
        self.close("pre");
    }

    /// A command, to be copied.
    pub(super) fn command(&mut self, label: &'static str, command: &str) {
        self.within("p", &[("class", "command")], |out| {
            out.element("span", &[("class", "label")], label);
            out.text(" ");
            out.element("code", &[], command);
            // The script shows it, which it works by.
            out.element("button", &[("type", "button"), ("class", "copy"), ("hidden", "")], "Copy");
        });
    }

    /// Names and values.
    pub(super) fn facts(&mut self, facts: &[(String, String)]) {
        self.within("dl", &[], |out| {
            for (name, value) in facts {
                out.element("dt", &[], name);
                out.element("dd", &[], value);
            }
        });
    }

    /// What can be wider or higher than the page, in a box of its own that can be scrolled.
    pub(super) fn scrolled(&mut self, label: &str, fill: impl FnOnce(&mut Markup)) {
        let attributes = [("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", label)];
        self.within("div", &attributes, fill);
    }

    /// A row of a table's head.
    pub(super) fn head(&mut self, names: &[&str]) {
        self.within("thead", &[], |out| {
            out.within("tr", &[], |out| {
                for name in names {
                    out.element("th", &[("scope", "col")], name);
                }
            });
        });
    }

    /// What was written.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A line of text as HTML and XML have it, in an element or in an attribute's value.
pub(super) fn escaped(text: &str) -> String {
    crate::printable::markup(text, COLUMNS_MAX)
}

/// A line of a title or a heading.
pub(super) fn short(text: &str) -> String {
    line(text, 120)
}
