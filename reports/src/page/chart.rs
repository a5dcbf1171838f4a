//! Charts of pages, as SVG: axes, lines, and the scale of times. How they look is in the style.

use super::markup::Markup;
use crate::printable::short_time;

/// A share of a part in a whole, for people: 1 % is said, and so is what is less.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_string();
    }
    let share = part as f64 * 100.0 / whole as f64;
    match share {
        _ if part == 0 => "0 %".to_string(),
        _ if part == whole => "100 %".to_string(),
        share if share < 0.1 => "< 0.1 %".to_string(),
        share if share > 99.9 => "> 99.9 %".to_string(),
        share if !(10.0..99.0).contains(&share) => format!("{share:.1} %"),
        share => format!("{share:.0} %"),
    }
}

/// A number with spaces between each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && digits.len() > 4 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A number and what it counts.
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A time, or what stands for one that nobody waited for.
pub(super) fn time_or_never(ns: Option<u64>, operations: u64) -> String {
    match ns {
        Some(ns) => short_time(ns),
        None if operations == 0 => "–".to_string(),
        None => "never".to_string(),
    }
}

/// Where a chart's field lies in its picture, from its upper left corner.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Field {
    /// The place of a share of the width, from the left.
    pub(super) fn x(self, share: f64) -> f64 {
        self.left + share * self.width
    }

    /// The place of a share of the height, from below.
    pub(super) fn y(self, share: f64) -> f64 {
        self.top + (1.0 - share) * self.height
    }

    pub(super) fn right(self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// A picture: its size, what it shows in words, and what draws it.
pub(super) fn picture(out: &mut Markup, size: (u32, u32), label: &str, draw: impl FnOnce(&mut Markup)) {
    let view = format!("0 0 {} {}", size.0, size.1);
    let attributes = [("class", "chart"), ("viewBox", &*view), ("role", "img"), ("aria-label", label)];
    out.within("svg", &attributes, draw);
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

pub(super) fn line(out: &mut Markup, class: &str, from: (f64, f64), to: (f64, f64)) {
    let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
    out.element("line", &[("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)], "");
}

pub(super) fn rectangle(out: &mut Markup, class: &str, at: (f64, f64), size: (f64, f64)) {
    let [x, y, width, height] = [at.0, at.1, size.0.max(0.0), size.1.max(0.0)].map(number);
    out.element("rect", &[("class", class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)], "");
}

pub(super) fn label(out: &mut Markup, anchor: &'static str, at: (f64, f64), text: &str) {
    let [x, y] = [at.0, at.1].map(number);
    out.element("text", &[("text-anchor", anchor), ("x", &x), ("y", &y)], text);
}

pub(super) fn polyline(out: &mut Markup, class: &str, points: &[(f64, f64)]) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    out.element("polyline", &[("class", class), ("points", &points.join(" "))], "");
}

pub(super) fn dot(out: &mut Markup, class: &str, at: (f64, f64)) {
    let [x, y] = [at.0, at.1].map(number);
    out.element("circle", &[("class", class), ("cx", &x), ("cy", &y), ("r", "4")], "");
}

/// What is hatched in a picture: `url(#hatch)` fills it.
pub(super) fn hatch(out: &mut Markup) {
    out.within("defs", &[], |out| {
        let pattern = [
            ("id", "hatch"),
            ("width", "8"),
            ("height", "8"),
            ("patternUnits", "userSpaceOnUse"),
            ("patternTransform", "rotate(45)"),
        ];
        out.within("pattern", &pattern, |out| line(out, "hatch", (0.0, 0.0), (0.0, 8.0)));
    });
}

/// A scale of times in equal ratios.
#[derive(Clone, Copy)]
pub(super) struct TimeScale {
    low: f64,
    high: f64,
}

impl TimeScale {
    /// From a little below the least to a little above the greatest. `None` where there is no time.
    pub(super) fn of(times: impl Iterator<Item = u64> + Clone) -> Option<TimeScale> {
        let least = times.clone().min()?.max(1) as f64;
        let greatest = (times.max()?.max(1)) as f64;
        let room = (greatest / least).powf(0.05).max(1.2);
        Some(TimeScale { low: (least / room).ln(), high: (greatest * room).ln() })
    }

    /// Where a time lies, from 0 to 1.
    pub(super) fn share(self, ns: u64) -> f64 {
        ((ns.max(1) as f64).ln() - self.low) / (self.high - self.low)
    }

    /// Round times in between: powers of ten, or what is between them where those are few.
    pub(super) fn ticks(self) -> Vec<u64> {
        let decades = (0..20).map(|power| 10u64.pow(power));
        let of = |parts: &[u64]| -> Vec<u64> {
            let all = decades.clone().flat_map(|one| parts.iter().filter_map(move |part| one.checked_mul(*part)));
            all.filter(|ns| (0.0..=1.0).contains(&self.share(*ns))).collect()
        };
        [&[1][..], &[1, 3], &[1, 2, 5], &[1, 2, 3, 4, 5, 6, 7, 8, 9]]
            .into_iter()
            .map(of)
            .find(|ticks| ticks.len() >= 3)
            .unwrap_or_else(|| of(&[1, 2, 3, 4, 5, 6, 7, 8, 9]))
    }

    /// Draws its ticks, left of a field and through it.
    pub(super) fn draw(self, out: &mut Markup, field: Field) {
        for ns in self.ticks() {
            let y = field.y(self.share(ns));
            line(out, "rule", (field.left, y), (field.right(), y));
            label(out, "end", (field.left - 6.0, y + 4.0), &short_time(ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_said_to_be_all_or_nothing_where_they_are_not() {
        for (part, whole, said) in [
            (0, 100, "0 %"),
            (1, 100_000, "< 0.1 %"),
            (1, 100, "1.0 %"),
            (84, 100, "84 %"),
            (995, 1_000, "99.5 %"),
            (99_999, 100_000, "> 99.9 %"),
            (7, 7, "100 %"),
            (0, 0, "–"),
        ] {
            assert_eq!(percent(part, whole), said);
        }
    }

    #[test]
    fn numbers_are_grouped_where_they_are_long() {
        for (number, said) in [(0, "0"), (9_999, "9999"), (10_000, "10 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number), said);
        }
    }

    #[test]
    fn a_scale_has_ticks_however_near_its_ends_are() {
        for (low, high) in [(1, 1), (7_000_000, 7_000_000), (5, 5_000_000_000), (90, 110), (1, u64::MAX)] {
            let scale = TimeScale::of([low, high].into_iter()).expect("a scale");
            assert!((0.0..=1.0).contains(&scale.share(low)) && scale.share(low) <= scale.share(high));
            assert!((0.0..=1.0).contains(&scale.share(high)), "{low} {high}");
            assert!(!scale.ticks().is_empty() && scale.ticks().len() < 25, "{low} {high} {:?}", scale.ticks());
        }
        assert!(TimeScale::of(std::iter::empty()).is_none());
    }
}
