//! Where a run's decisions are made: plan, strategy and seed on one side, the record of what came out on the other.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use squall_trace::draw::{Purpose, RunKey};
use squall_trace::plan::{Bases, Redraw};
use squall_trace::{Base, Override, Perturbation, Plan, Ready, Record, Site, SiteKind, Strategy, ValueQuestion};

use crate::agenda::{Agenda, Waiting};

struct PlannedOverride {
    planned: Override,
    used: bool,
}

/// Answers at every site of one run, and records what wasn't calm.
pub(crate) struct Decisions {
    key: RunKey,
    redraw: Option<(Redraw, RunKey)>,
    bases: Bases,
    strategy: Box<dyn Strategy>,
    strategy_chooses_values: bool,
    /// Mostly one a site; several are for different messages that may come to it.
    overrides: BTreeMap<Site, SmallVec<[PlannedOverride; 1]>>,
    /// Whether order is anybody's business: else first in, first out without asking.
    asks_order: bool,
    strategy_chooses_order: bool,
    /// Nobody but the seed answers about messages, and nothing is recorded: the path of exploring.
    plain: bool,
    recording: bool,
    perturbations: Vec<Perturbation>,
    /// How many ready events have been chosen.
    chosen: u64,
}

impl Decisions {
    pub(crate) fn new(plan: &Plan, record: Record) -> Decisions {
        let strategy = plan.strategy.build(plan.seed);
        let mut overrides: BTreeMap<Site, SmallVec<[PlannedOverride; 1]>> = BTreeMap::new();
        for planned in &plan.overrides {
            overrides.entry(planned.site).or_default().push(PlannedOverride { planned: *planned, used: false });
        }
        let recording = record > Record::Digest;
        let strategy_chooses_values = strategy.chooses_values();
        let strategy_chooses_order = strategy.chooses_order() && plan.bases.get(SiteKind::Order) == Base::Drawn;
        let overrides_order = overrides.keys().any(|site| site.kind == SiteKind::Order);
        Decisions {
            key: RunKey::derive(plan.seed, Purpose::Weather, 0),
            redraw: plan.redraw.map(|redraw| (redraw, RunKey::derive(plan.seed, Purpose::Weather, redraw.salt))),
            bases: plan.bases,
            plain: overrides.is_empty()
                && !strategy_chooses_values
                && !recording
                && plan.bases == Bases::drawn()
                && plan.redraw.is_none(),
            asks_order: strategy_chooses_order || overrides_order,
            strategy_chooses_order,
            strategy,
            strategy_chooses_values,
            overrides,
            recording,
            perturbations: Vec::new(),
            chosen: 0,
        }
    }

    /// The key that values are drawn under at `now_ns`.
    #[inline]
    pub(crate) fn key(&self, now_ns: u64) -> RunKey {
        match &self.redraw {
            Some((redraw, key)) if now_ns >= redraw.from_ns => *key,
            _ => self.key,
        }
    }

    /// Whether drawn values can be taken as they are, without [`Decisions::decide`].
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// What the plan fixes at a site for what has that fingerprint.
    #[inline]
    fn planned_value(&mut self, site: Site, fingerprint: impl Fn() -> u64) -> Option<u64> {
        let entries = self.overrides.get_mut(&site)?;
        let fingerprint = fingerprint();
        let entry = entries.iter_mut().find(|entry| entry.planned.fingerprint == fingerprint)?;
        entry.used = true;
        Some(entry.planned.value)
    }

    /// Decides one value. `fingerprint` is asked for only where it matters.
    pub(crate) fn decide(
        &mut self,
        site: Site,
        now_ns: u64,
        calm: u64,
        drawn: u64,
        fingerprint: impl Fn() -> u64,
    ) -> u64 {
        let overridden = self.planned_value(site, &fingerprint);
        let value = overridden.unwrap_or_else(|| {
            let drawn = match self.bases.get(site.kind) {
                Base::Calm => calm,
                Base::Drawn => drawn,
            };
            if self.strategy_chooses_values { self.strategy.value(&ValueQuestion { site, calm, drawn }) } else { drawn }
        });
        if self.recording && value != calm {
            self.perturbations.push(Perturbation { site, fingerprint: fingerprint(), value, calm, at_ns: now_ns });
        }
        value
    }

    /// Takes the ready entry that comes next.
    #[inline]
    pub(crate) fn choose(
        &mut self,
        agenda: &mut Agenda,
        now_ns: u64,
        fingerprint: impl Fn(&Waiting) -> u64,
    ) -> Option<Waiting> {
        let head = agenda.take_ready()?;
        if !self.asks_order {
            return Some(head);
        }
        Some(self.choose_asking(head, agenda, now_ns, fingerprint))
    }

    fn choose_asking(
        &mut self,
        mut head: Waiting,
        agenda: &mut Agenda,
        now_ns: u64,
        fingerprint: impl Fn(&Waiting) -> u64,
    ) -> Waiting {
        loop {
            let company = agenda.ready() + 1;
            if company == 1 {
                break;
            }
            match self.wanted_rank(&head, company, now_ns, &fingerprint) {
                Some(rank) if rank > head.rank => {
                    agenda.put_off(head, rank);
                    head = agenda.take_ready().expect("one was just put back");
                }
                _ => break,
            }
        }
        self.chosen += 1;
        self.record_rank(&head, now_ns, fingerprint);
        head
    }

    /// Records the rank of a ready entry that was chosen, or that the run's end left waiting: had it not been put off, it
    /// would have come before others that did come.
    pub(crate) fn record_rank(&mut self, entry: &Waiting, now_ns: u64, fingerprint: impl Fn(&Waiting) -> u64) {
        if self.recording && entry.rank != 0 {
            self.perturbations.push(Perturbation {
                site: entry.site(),
                fingerprint: fingerprint(entry),
                value: u64::from(entry.rank),
                calm: 0,
                at_ns: now_ns,
            });
        }
    }

    fn wanted_rank(
        &mut self,
        head: &Waiting,
        company: usize,
        now_ns: u64,
        fingerprint: &impl Fn(&Waiting) -> u64,
    ) -> Option<u32> {
        let site = head.site();
        if let Some(value) = self.planned_value(site, || fingerprint(head)) {
            return Some(u32::try_from(value).unwrap_or(u32::MAX));
        }
        if !self.strategy_chooses_order {
            return None;
        }
        let word = self.key(now_ns).order_word(site.flow, site.number);
        self.strategy.put_off(&Ready {
            site,
            word,
            rank: head.rank,
            put_off: head.put_off,
            company,
            chosen: self.chosen,
        })
    }

    /// What wasn't calm, and which overrides met nothing.
    pub(crate) fn finish(self) -> (Vec<Perturbation>, Vec<Override>) {
        let unused = self.overrides.values().flatten().filter(|entry| !entry.used).map(|entry| entry.planned).collect();
        (self.perturbations, unused)
    }
}

impl std::fmt::Debug for Decisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decisions").field("overrides", &self.overrides.len()).finish_non_exhaustive()
    }
}
