//! What was not calm in a run, in words: why it came out as it did.

use squall_trace::trace::format_ns;
use squall_trace::{Names, Perturbation, SiteKind};

use crate::printable::line;

/// The decisions of a run that weren't calm: how many, and those of them, at most `shown_max`, that say most, in the order
/// in which they happened.
#[must_use]
pub fn render_perturbations(perturbations: &[Perturbation], names: &Names, shown_max: usize, columns: usize) -> String {
    let shown = worst(perturbations, shown_max);
    let mut text = match perturbations.len() {
        0 => return "everything was calm: no decision came out other than usual\n".to_string(),
        1 => "1 decision was not calm:\n".to_string(),
        count if count == shown.len() => format!("{count} decisions were not calm:\n"),
        count => format!("{count} decisions were not calm, among them:\n"),
    };
    for perturbation in shown {
        let said = format!("  {:>14}  {}", format_ns(perturbation.at_ns), perturbation.sentence(names));
        text.push_str(&line(&said, columns));
        text.push('\n');
    }
    text
}

/// Faults, losses, duplicates, and delays of more than twice the calm ones; the other delays where there is none of these,
/// and mere order where there is nothing else: too many lines hide the one that matters.
pub(crate) fn worst(perturbations: &[Perturbation], shown_max: usize) -> Vec<&Perturbation> {
    let mut all: Vec<&Perturbation> = perturbations.iter().collect();
    all.sort_by_key(|perturbation| match perturbation.site.kind {
        SiteKind::Latency | SiteKind::DiskLatency => {
            (1, u64::MAX - perturbation.value.saturating_sub(perturbation.calm))
        }
        kind => (of_kind(kind), 0),
    });
    let gravest = all.iter().map(|perturbation| gravity(perturbation)).min();
    all.retain(|perturbation| Some(gravity(perturbation)) == gravest);
    all.truncate(shown_max);
    all.sort_by_key(|perturbation| perturbation.at_ns);
    all
}

/// The lower, the more it says.
fn gravity(perturbation: &Perturbation) -> u32 {
    match perturbation.site.kind {
        SiteKind::Latency | SiteKind::DiskLatency if perturbation.value > perturbation.calm.saturating_mul(2) => 0,
        kind => of_kind(kind),
    }
}

/// Likewise, of a kind of decision.
fn of_kind(kind: SiteKind) -> u32 {
    match kind {
        SiteKind::Fault
        | SiteKind::Partition
        | SiteKind::Point
        | SiteKind::Rule
        | SiteKind::Buggify
        | SiteKind::Knob
        | SiteKind::Loss
        | SiteKind::Retransmission
        | SiteKind::Reset
        | SiteKind::Duplicate
        | SiteKind::Corruption
        | SiteKind::DiskCrash
        | SiteKind::DiskFailure
        | SiteKind::BitRot => 0,
        SiteKind::Latency | SiteKind::DiskLatency => 1,
        SiteKind::Order | SiteKind::Choice => 2,
        // No weather: what the program is there to do.
        SiteKind::Operation => 3,
    }
}

#[cfg(test)]
mod tests {
    use squall_trace::{FlowId, Site};

    use super::*;

    fn perturbation(kind: SiteKind, number: u64, value: u64, at_ns: u64) -> Perturbation {
        Perturbation { site: Site { kind, flow: FlowId(7), number }, fingerprint: 0, value, calm: 5_000_000, at_ns }
    }

    #[test]
    fn only_the_gravest_are_shown() {
        let all = [
            perturbation(SiteKind::Order, 1, 9, 10),
            perturbation(SiteKind::Latency, 2, 6_000_000, 20),
            perturbation(SiteKind::Latency, 3, 12_000_000, 30),
            perturbation(SiteKind::Loss, 4, 1, 40),
        ];
        let text = render_perturbations(&all, &Names::default(), 2, 80);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "4 decisions were not calm, among them:");
        assert!(lines[1].contains("30 ns") && lines[1].contains("12 ms (calm: 5 ms)"), "{text}");
        assert!(lines[2].contains("40 ns") && lines[2].ends_with("is lost"), "{text}");
        assert_eq!(lines.len(), 3);
        assert_eq!(render_perturbations(&all, &Names::default(), 9, 80).lines().count(), 3, "the rest is left out");
        let calm_but_order = render_perturbations(&all[..1], &Names::default(), 9, 80);
        assert!(calm_but_order.starts_with("1 decision was not calm:\n"), "{calm_but_order}");
        assert_eq!(calm_but_order.lines().count(), 2);
        assert!(render_perturbations(&[], &Names::default(), 9, 80).starts_with("everything was calm"));
    }
}
