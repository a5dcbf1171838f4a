//! What all pages have around them: a policy that allows their one style and one script, by their hashes, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::markup::escaped;

/// `{{policy}}`, `{{title}}`, `{{style}}`, `{{body}}` and `{{script}}` are put in.
const SHELL: &str = include_str!("shell.html");

/// A page. The title is text; the others are taken as they are.
pub(super) fn page(title: &str, style: &str, body: &str, script: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash_source(script),
        hash_source(style)
    );
    fill(
        SHELL,
        &[
            ("{{policy}}", &policy),
            ("{{title}}", &escaped(title)),
            ("{{style}}", style),
            ("{{body}}", body),
            ("{{script}}", script),
        ],
    )
}

/// Puts values into a template, each at its place, in order. What is put in is not looked through for places.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    for (place, value) in values {
        let (before, after) = rest.split_once(place).expect("the page has a place for each value, in this order");
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// How a content security policy names an inline script or style.
fn hash_source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(hmac_sha256::Hash::hash(text.as_bytes())))
}
