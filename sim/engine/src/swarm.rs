//! What a run of a swarm does without, and how often the rest comes: see [`squall_trace::swarm`].
//!
//! It shapes only what is drawn: rates before the run begins, and whether what has no rate is drawn to happen. What a plan fixes stays as it is, and so a failure
//! of a swarm is shrunk and replayed as any other.

use squall_trace::swarm::{FaultClass, InWords, Swarm, Swarmed};
use squall_trace::{EventKind, FaultPart, NodeId, Ratio, Site, SiteKind};

use crate::fault::{Fault, What};
use crate::kernel::Kernel;
use crate::latency::Latency;
use crate::rule::Rule;
use crate::world::{LinkRule, World};

/// The classes of which a run decides nothing otherwise than calmly, if they are off, and the decisions that are theirs alone.
const OWN_KINDS: [(FaultClass, SiteKind); 13] = [
    (FaultClass::Duplicate, SiteKind::Duplicate),
    (FaultClass::Corruption, SiteKind::Corruption),
    (FaultClass::Latency, SiteKind::Latency),
    (FaultClass::Crash, SiteKind::Point),
    (FaultClass::Partition, SiteKind::Partition),
    (FaultClass::DiskCrash, SiteKind::DiskCrash),
    (FaultClass::DiskFailure, SiteKind::DiskFailure),
    (FaultClass::DiskLatency, SiteKind::DiskLatency),
    (FaultClass::BitRot, SiteKind::BitRot),
    (FaultClass::Buggify, SiteKind::Buggify),
    (FaultClass::Knob, SiteKind::Knob),
    (FaultClass::Rule, SiteKind::Rule),
    (FaultClass::Reset, SiteKind::Reset),
];

/// The classes of which a world has something, in their order. What a control task may ask for counts.
fn classes_of(world: &World) -> Vec<FaultClass> {
    let weathers = || {
        let of_faults = world.faults.iter().filter_map(|fault| match &fault.what {
            What::Weather(rule) => Some(&**rule),
            _ => None,
        });
        std::iter::once(&world.network).chain(&world.links).chain(of_faults)
    };
    let is_some = |share: fn(&LinkRule) -> Option<Ratio>| weathers().filter_map(share).any(|share| !share.is_zero());
    let is_drawn =
        |latency: &Option<Latency>| latency.as_ref().is_some_and(|latency| !matches!(latency, Latency::Fixed(_)));
    let disks = || std::iter::once(&world.storage).chain(&world.disks);
    let has_control = world.nodes.iter().any(|node| node.control);
    let has_fault = |class: FaultClass| has_control || world.faults.iter().any(|fault| fault.class() == class);
    let has = |class: &FaultClass| match class {
        FaultClass::Loss => is_some(|rule| rule.loss),
        FaultClass::Bursts => weathers().any(|rule| rule.bursts.is_some()),
        FaultClass::Duplicate => is_some(|rule| rule.duplicate),
        FaultClass::Corruption => is_some(|rule| rule.corruption),
        FaultClass::Reset => is_some(|rule| rule.reset) || has_fault(FaultClass::Reset),
        FaultClass::Latency => {
            weathers().any(|rule| is_drawn(&rule.latency)) || is_drawn(&world.loopback) || is_some(|rule| rule.reorder)
        }
        FaultClass::Crash
        | FaultClass::Pause
        | FaultClass::Slow
        | FaultClass::Clock
        | FaultClass::Partition
        | FaultClass::Hold
        | FaultClass::Link => has_fault(*class),
        FaultClass::DiskCrash => has_fault(FaultClass::Crash) || disks().any(|disk| disk.fails()),
        FaultClass::DiskFailure => disks().any(|disk| disk.fails()),
        FaultClass::DiskLatency => disks().any(|disk| disk.latencies().any(is_drawn)),
        FaultClass::BitRot => disks().any(|disk| disk.rots()),
        FaultClass::Buggify => !crate::buggify::names().is_empty() && !world.buggify.enabled.is_zero(),
        FaultClass::Rule => world.rules.iter().any(Rule::is_decided),
        FaultClass::Knob => !crate::knob::names().is_empty() && !world.buggify.knobs.is_zero(),
    };
    FaultClass::ALL.into_iter().filter(has).collect()
}

/// Gives a world the rates of a run of a swarm, and says what became of each class that it has.
pub(crate) fn shape(world: &mut World, swarm: &Swarm) -> Vec<Swarmed> {
    let swarmed = classes_of(world).into_iter().map(|class| swarm.of(class)).collect();
    shape_weather(&mut world.network, swarm);
    world.links.iter_mut().for_each(|link| shape_weather(link, swarm));
    world.faults.iter_mut().for_each(|fault| shape_fault(fault, swarm));
    if let Some(exponent) = swarm.of(FaultClass::Rule).exponent {
        world.rules.iter_mut().filter(|rule| rule.is_decided()).for_each(|rule| rule.scale(exponent));
    }
    let rate = |class: FaultClass, rate: &mut Option<Ratio>| scale(rate, swarm.of(class));
    std::iter::once(&mut world.storage).chain(&mut world.disks).for_each(|disk| disk.scale(rate));
    let scaled = |class: FaultClass, share: Ratio| {
        let swarmed = swarm.of(class);
        // What is off is calm, and needs no rate.
        if swarmed.exponent.is_some() { swarmed.scaled(share) } else { share }
    };
    world.buggify.share = scaled(FaultClass::Buggify, world.buggify.share);
    world.buggify.knobs = scaled(FaultClass::Knob, world.buggify.knobs);
    swarmed
}

/// The rates of what a fault says, as a control task's too.
pub(crate) fn shape_fault(fault: &mut Fault, swarm: &Swarm) {
    if let What::Weather(rule) = &mut fault.what {
        shape_weather(rule, swarm);
    }
    if let (Some((_, share)), Swarmed { exponent: Some(exponent), .. }) =
        (&mut fault.point, swarm.of(FaultClass::Crash))
    {
        // What is on is on, however seldom it comes.
        let scaled = share.times_power_of_two(exponent);
        *share = if scaled.threshold().is_never() { *share } else { scaled };
    }
}

fn scale(rate: &mut Option<Ratio>, swarmed: Swarmed) {
    if let (Some(rate), Some(exponent)) = (rate, swarmed.exponent) {
        *rate = rate.times_power_of_two(exponent);
    }
}

fn shape_weather(rule: &mut LinkRule, swarm: &Swarm) {
    // A burst's losses are decided as others are: what is off has no rate here, in place of being calm.
    rule.loss = rule.loss.map(|loss| swarm.of(FaultClass::Loss).scaled(loss));
    scale(&mut rule.duplicate, swarm.of(FaultClass::Duplicate));
    scale(&mut rule.corruption, swarm.of(FaultClass::Corruption));
    scale(&mut rule.reset, swarm.of(FaultClass::Reset));
    rule.bursts = rule.bursts.and_then(|bursts| {
        let exponent = swarm.of(FaultClass::Bursts).exponent?;
        let power = 1 << exponent.unsigned_abs();
        let mut scaled = bursts;
        scaled.bad = if exponent >= 0 { bursts.bad.saturating_mul(power) } else { bursts.bad / power };
        // What is too long or too short stays as it is set.
        Some(if scaled.validate().is_ok() { scaled } else { bursts })
    });
}

impl Kernel {
    /// From now on the run is that of a swarm: what is off is calm, and it is told what that is.
    pub(crate) fn swarm(&mut self, swarm: Swarm, swarmed: Vec<Swarmed>) {
        for (class, kind) in OWN_KINDS {
            if swarm.of(class).exponent.is_none() {
                self.decisions.switch_off(kind);
            }
        }
        let said = format!("swarm: {}", InWords(&swarmed));
        self.swarm = Some(swarm);
        self.swarmed = swarmed;
        self.emit_on(NodeId::WORLD, EventKind::Fault { what: said.into(), part: FaultPart::Whole });
    }

    /// Whether a fault of that class that has no rate is drawn to happen.
    pub(crate) fn is_drawn_to_happen(&self, class: FaultClass, site: Site) -> bool {
        let Some(swarm) = &self.swarm else { return true };
        let share = swarm.of(class).scaled(Ratio::ONE).threshold();
        share.hit(self.decisions.key(self.now_ns).swarm_word(site.flow, site.number))
    }

    /// A rate of that class, as it is in this run.
    pub(crate) fn swarmed_rate(&self, class: FaultClass, rate: Ratio) -> Ratio {
        match self.swarm.as_ref().map(|swarm| swarm.of(class)) {
            Some(Swarmed { exponent: Some(exponent), .. }) => rate.times_power_of_two(exponent),
            // What is off is calm.
            _ => rate,
        }
    }
}
