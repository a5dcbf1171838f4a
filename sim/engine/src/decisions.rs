//! Where a run's decisions are made: plan, strategy and seed on one side, the record of what came out on the other.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use squall_trace::draw::{Purpose, RunKey};
use squall_trace::plan::{ANY_FINGERPRINT, Bases, Redraw};
use squall_trace::{Base, Override, Perturbation, Plan, Ready, Record, Site, SiteKind, Strategy, ValueQuestion};

use crate::agenda::{Agenda, Identity, Now, Waiting};
use crate::journal::SharedRecorder;

struct PlannedOverride {
    planned: Override,
    used: bool,
}

/// Answers at every site of one run, and records what wasn't calm.
pub struct Decisions {
    key: RunKey,
    redraw: Option<(Redraw, RunKey)>,
    bases: Bases,
    strategy: Box<dyn Strategy>,
    strategy_chooses_values: bool,
    /// Kinds of which a swarm has none, whatever the strategy says.
    switched_off: Vec<SiteKind>,
    /// Mostly one a site; several are for different messages that may come to it.
    overrides: BTreeMap<Site, SmallVec<[PlannedOverride; 1]>>,
    /// Whether order is anybody's business: else first in, first out without asking.
    asks_order: bool,
    strategy_chooses_order: bool,
    /// Nobody but the seed answers about messages, and nothing is recorded: the path of exploring.
    plain: bool,
    /// Takes what wasn't calm, where that is recorded.
    recorder: Option<SharedRecorder>,
    /// How many ready events have been chosen.
    chosen: u64,
}

impl Decisions {
    /// Those of a run by `plan`. What isn't calm goes to `recorder`, unless nothing but the digest is kept.
    #[must_use]
    pub fn new(plan: &Plan, record: Record, recorder: SharedRecorder) -> Decisions {
        let strategy = plan.strategy.build(plan.seed);
        let mut overrides: BTreeMap<Site, SmallVec<[PlannedOverride; 1]>> = BTreeMap::new();
        for planned in &plan.overrides {
            overrides.entry(planned.site).or_default().push(PlannedOverride { planned: *planned, used: false });
        }
        let recorder = (record > Record::Digest).then_some(recorder);
        let strategy_chooses_values = strategy.chooses_values();
        let strategy_chooses_order = strategy.chooses_order() && plan.bases.get(SiteKind::Order) == Base::Drawn;
        let overrides_order = overrides.keys().any(|site| site.kind == SiteKind::Order);
        Decisions {
            key: RunKey::derive(plan.seed, Purpose::Weather, 0),
            redraw: plan.redraw.map(|redraw| (redraw, RunKey::derive(plan.seed, Purpose::Weather, redraw.salt))),
            bases: plan.bases,
            plain: overrides.is_empty()
                && !strategy_chooses_values
                && recorder.is_none()
                && plan.bases == Bases::drawn()
                && plan.redraw.is_none(),
            asks_order: strategy_chooses_order || overrides_order,
            strategy_chooses_order,
            strategy,
            strategy_chooses_values,
            switched_off: Vec::new(),
            overrides,
            recorder,
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

    /// What answers for decisions of that kind where nothing else does.
    fn base(&self, kind: SiteKind, now_ns: u64) -> Base {
        match &self.redraw {
            Some((Redraw { from_ns, bases: Some(bases), .. }, _)) if now_ns >= *from_ns => bases.get(kind),
            _ => self.bases.get(kind),
        }
    }

    /// From now on the decisions of that kind come out calm, but where the plan says otherwise.
    pub(crate) fn switch_off(&mut self, kind: SiteKind) {
        self.bases = self.bases.with(kind, Base::Calm);
        if let Some((Redraw { bases: Some(bases), .. }, _)) = &mut self.redraw {
            *bases = bases.with(kind, Base::Calm);
        }
        self.switched_off.push(kind);
        self.plain = false;
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
        let fits = |planned: u64| planned == fingerprint || planned == ANY_FINGERPRINT;
        let entry = entries.iter_mut().find(|entry| fits(entry.planned.fingerprint))?;
        entry.used = true;
        Some(entry.planned.value)
    }

    /// Decides one value at `now_ns`: what the plan fixes at the site for what has that fingerprint, else what its base and its strategy say of
    /// `calm` and `drawn`. `fingerprint` is asked for only where it matters.
    pub fn decide(&mut self, site: Site, now_ns: u64, calm: u64, drawn: u64, fingerprint: impl Fn() -> u64) -> u64 {
        let overridden = self.planned_value(site, &fingerprint);
        let value = overridden.unwrap_or_else(|| self.unplanned_value(site, now_ns, calm, drawn));
        if let Some(recorder) = &self.recorder
            && value != calm
        {
            let perturbation = Perturbation { site, fingerprint: fingerprint(), value, calm, at_ns: now_ns };
            recorder.borrow_mut().on_perturbation(&perturbation, false);
        }
        value
    }

    /// Decides at `now_ns` whether what has happened `before` times at a site happens once more: the site's value is how often it happens in a row, of which
    /// each time is decided when it comes.
    pub(crate) fn decide_once_more(
        &mut self,
        site: Site,
        now_ns: u64,
        before: u64,
        drawn: bool,
        fingerprint: impl Fn() -> u64,
    ) -> bool {
        let overridden = self.planned_value(site, &fingerprint);
        let drawn = before + u64::from(drawn);
        let happens = overridden.unwrap_or_else(|| self.unplanned_value(site, now_ns, 0, drawn)) > before;
        if happens && let Some(recorder) = &self.recorder {
            let (fingerprint, value) = (fingerprint(), before + 1);
            let perturbation = Perturbation { site, fingerprint, value, calm: 0, at_ns: now_ns };
            // Once more: the higher number says all.
            recorder.borrow_mut().on_perturbation(&perturbation, before > 0);
        }
        happens
    }

    /// What base and strategy say at a site.
    fn unplanned_value(&mut self, site: Site, now_ns: u64, calm: u64, drawn: u64) -> u64 {
        let drawn = match self.base(site.kind, now_ns) {
            Base::Calm => calm,
            Base::Drawn => drawn,
        };
        let is_asked = self.strategy_chooses_values && !self.switched_off.contains(&site.kind);
        if is_asked { self.strategy.value(&ValueQuestion { site, calm, drawn }) } else { drawn }
    }

    /// Takes the ready entry that comes next.
    #[inline]
    pub(crate) fn choose(
        &mut self,
        agenda: &mut Agenda,
        now_ns: u64,
        identify: impl Fn(Now) -> Option<Identity>,
    ) -> Option<Now> {
        let head = agenda.take_ready()?;
        if !self.asks_order {
            return Some(head.now);
        }
        Some(self.choose_asking(head, agenda, now_ns, identify))
    }

    /// From now on what is ready comes in the order in which it became so, but where the plan says otherwise.
    pub(crate) fn calm_order(&mut self) {
        self.strategy_chooses_order = false;
        self.asks_order = self.overrides.keys().any(|site| site.kind == SiteKind::Order);
    }

    fn choose_asking(
        &mut self,
        mut head: Waiting,
        agenda: &mut Agenda,
        now_ns: u64,
        identify: impl Fn(Now) -> Option<Identity>,
    ) -> Now {
        loop {
            let company = agenda.ready() + 1;
            if company == 1 {
                break;
            }
            let wanted = identify(head.now).and_then(|identity| self.wanted_rank(&head, identity, company, now_ns));
            match wanted {
                Some(rank) if rank > head.rank => {
                    self.record_put_off(&head, rank, now_ns, &identify);
                    agenda.put_off(head, rank);
                    head = agenda.take_ready().expect("one was just put back");
                }
                _ => break,
            }
        }
        self.chosen += 1;
        head.now
    }

    /// Records that an entry is put off, at that time: it may never come (its task ends before, or the run), and has let
    /// others come first all the same.
    fn record_put_off(&mut self, head: &Waiting, rank: u32, now_ns: u64, identify: impl Fn(Now) -> Option<Identity>) {
        let Some(recorder) = &self.recorder else { return };
        let Some(Identity { site, fingerprint }) = identify(head.now) else { return };
        let perturbation = Perturbation { site, fingerprint, value: u64::from(rank), calm: 0, at_ns: now_ns };
        // Put off again: the higher rank says all.
        recorder.borrow_mut().on_perturbation(&perturbation, head.rank > 0);
    }

    fn wanted_rank(&mut self, head: &Waiting, identity: Identity, company: usize, now_ns: u64) -> Option<u32> {
        let Identity { site, fingerprint } = identity;
        if let Some(value) = self.planned_value(site, || fingerprint) {
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

    /// Told that an entry came that had no company: there was nothing to decide.
    #[inline]
    pub(crate) fn came_alone(&mut self) {
        self.chosen += 1;
    }

    /// Which overrides met nothing.
    #[must_use]
    pub fn finish(self) -> Vec<Override> {
        self.overrides.values().flatten().filter(|entry| !entry.used).map(|entry| entry.planned).collect()
    }
}

impl std::fmt::Debug for Decisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decisions").field("overrides", &self.overrides.len()).finish_non_exhaustive()
    }
}
