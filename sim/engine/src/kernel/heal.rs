//! The end of the storm: from then on nothing goes wrong any more, and it is seen whether the clients get on.

use squall_trace::id::hash_words;
use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::world::duration_ns;

/// So many words of states are hashed at the most. A world that is too large for that isn't looked at any longer.
const WORDS_MAX: u64 = 20_000_000;

/// From this port on they are drawn: another one is no other state.
const EPHEMERAL_PORT_FIRST: u16 = 49_152;

/// What is looked at once the storm is over.
#[derive(Debug)]
pub(crate) struct AfterTheStorm {
    /// Since when.
    pub since_ns: u64,
    /// How long the clients have from then on, if progress is demanded of them, and hasn't been judged.
    pub within_ns: Option<u64>,
    /// It is the last instant of the bound.
    is_due: bool,
    /// The states of the run between two instants in the second half of the bound. `None` once it took too much.
    states: Option<Vec<Noted>>,
    /// How many words were hashed.
    words: u64,
}

/// The state of the run between two instants.
#[derive(Clone, Copy, Debug)]
struct Noted {
    at_ns: u64,
    /// How often programs had read their clocks.
    clock_reads: u64,
    /// As a hash.
    state: u128,
}

impl AfterTheStorm {
    /// Whether the states up to the end repeat themselves: since when, and after how long each time.
    ///
    /// A single state that comes back shows little, since programs have a memory that isn't seen: those in between must come back with it, all of
    /// them twice at the least, and that must have gone on for half of the time that was looked at, which is given.
    fn period(&self, looked_at_ns: u64) -> Option<Period> {
        let states = self.states.as_ref()?;
        states.first()?;
        let backwards: Vec<Noted> = states.iter().rev().copied().collect();
        let last_ns = backwards[0].at_ns;
        let agreeing = agreeing(&backwards);
        (1..backwards.len().div_ceil(2)).find_map(|places| {
            let period_ns = last_ns - backwards[places].at_ns;
            let repeated = agreeing[places];
            if repeated <= places || period_ns == 0 {
                return None;
            }
            let Noted { at_ns: since_ns, clock_reads, .. } = backwards[places + repeated - 1];
            let lasts_ns = last_ns - since_ns;
            let is_long = lasts_ns >= looked_at_ns / 2;
            let reads_clocks = clock_reads != backwards[0].clock_reads;
            is_long.then(|| Period { since_ns, period_ns, times: lasts_ns / period_ns, reads_clocks })
        })
    }
}

/// For each place from the second on, how many states from there on are the same as those from the beginning on, and as far from each other, in
/// linear time (the Z algorithm: D. Gusfield, *Algorithms on Strings, Trees, and Sequences*, 1997). For the first it is 0.
fn agreeing(states: &[Noted]) -> Vec<usize> {
    // A state with how long ago the one before it was. The first of all, which is the last here, has none: it is looked at by itself.
    let steps: Vec<(u128, u64)> =
        states.windows(2).map(|pair| (pair[0].state, pair[0].at_ns - pair[1].at_ns)).collect();
    let mut agreeing = agreeing_steps(&steps);
    agreeing.push(0);
    for (place, agreeing) in agreeing.iter_mut().enumerate().skip(1) {
        let behind = states.get(place + *agreeing);
        *agreeing += usize::from(behind.is_some_and(|behind| behind.state == states[*agreeing].state));
    }
    agreeing
}

fn agreeing_steps(states: &[(u128, u64)]) -> Vec<usize> {
    let mut agreeing = vec![0; states.len()];
    // The stretch that is known to agree with the beginning, and reaches farthest.
    let (mut from, mut to) = (0, 0);
    for place in 1..states.len() {
        let known = if place < to { agreeing[place - from].min(to - place) } else { 0 };
        let more = states[known..].iter().zip(&states[place + known..]).take_while(|(one, other)| one == other);
        agreeing[place] = known + more.count();
        if place + agreeing[place] > to {
            (from, to) = (place, place + agreeing[place]);
        }
    }
    agreeing
}

/// A state that comes back.
struct Period {
    since_ns: u64,
    period_ns: u64,
    times: u64,
    /// Whether a program has read its clock meanwhile: what it shows isn't part of the state.
    reads_clocks: bool,
}

/// A state of the run on its way to a hash.
#[derive(Default)]
struct State {
    hasher: Xxh3,
    /// Of so many words.
    count: u64,
}

impl State {
    fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        for word in words {
            self.count += 1;
            self.hasher.update(&word.to_le_bytes());
        }
    }

    /// Words in no order.
    fn multiset(&mut self, words: impl Iterator<Item = u64>) {
        let mut words: Vec<u64> = words.collect();
        words.sort_unstable();
        self.words([words.len() as u64]);
        self.words(words);
    }
}

impl Kernel {
    /// The world ends its storm at that time. Properties ask for something within so many nanoseconds of it, if any does.
    pub(crate) fn schedule_heal(&mut self, heal: Heal, asked_within_ns: Option<u64>) {
        let asked_until_ns = asked_within_ns.map(|within_ns| duration_ns(heal.at).saturating_add(within_ns));
        // Beyond the longest that a run may last there is nothing to wait for.
        if let Some(until_ns) = asked_until_ns.filter(|until_ns| *until_ns <= self.limits.virtual_ns) {
            self.asked_until_ns = Some(until_ns);
            self.schedule_act(until_ns, Act::EndAsking);
        }
        self.demands_progress = heal.within.is_some();
        self.pending_heal = Some(heal.clone());
        self.schedule_act(duration_ns(heal.at), Act::EndStorm { heal });
    }

    /// Whether progress was demanded, and the run has ended before it could be judged.
    pub(crate) fn owes_progress(&self) -> bool {
        let is_judged = self.after_the_storm.as_ref().is_some_and(|after| after.within_ns.is_none());
        self.demands_progress && !is_judged && self.clients_to_get_on().next().is_some()
    }

    /// All faults stop, or those of a core of nodes, and the others' stay as they are.
    pub(crate) fn heal(&mut self, heal: &Heal) {
        let is_healed: Vec<bool> = self.nodes.iter().map(|node| heal.has(&node.name)).collect();
        let what = match &heal.core {
            None => "all faults stop".to_string(),
            Some(core) => format!("faults stop for {}, and stay for all others", core.join(", ")),
        };
        let is_of_all = heal.core.is_none();
        let healed = (0u32..).zip(&is_healed).filter(|(_, is_healed)| **is_healed && !is_of_all);
        let nodes = healed.map(|(node, _)| NodeId(node)).collect();
        self.emit_on(NodeId::WORLD, EventKind::Heal { what: what.into(), nodes });
        self.pending_heal = None;
        self.network.heal_among(is_healed.clone(), &self.nodes);
        self.change_send_limits();
        self.release();
        self.let_go_among_healed();
        // What came to its end in the storm is of the storm, though nobody has asked yet.
        self.settle_all_syncs();
        self.disks.heal(is_healed.clone());
        self.decisions.calm_order();
        let within_ns = heal.within.map(duration_ns);
        let states = within_ns.map(|_| Vec::new());
        self.after_the_storm =
            Some(AfterTheStorm { since_ns: self.now_ns, within_ns, is_due: false, states, words: 0 });
        for (index, is_healed) in is_healed.into_iter().enumerate() {
            let node = &mut self.nodes[index];
            let is_through = node.client && node.root_returned;
            if !is_healed && !node.control {
                node.is_left_out = true;
                node.restart_pending = false;
                continue;
            }
            self.end_pauses(NodeId(index as u32));
            self.end_slowness(NodeId(index as u32));
            self.end_clock_changes(NodeId(index as u32), |_| true);
            if !is_through {
                self.restart(NodeId(index as u32));
            }
        }
        self.attention = true;
        if let Some(within_ns) = within_ns {
            self.schedule_act(self.now_ns.saturating_add(within_ns), Act::DemandProgress);
        }
    }

    /// Whether a fault that is asked for can't happen any more.
    pub(crate) fn is_after_the_storm(&self) -> bool {
        self.after_the_storm.is_some()
    }

    /// The bound is reached. What comes at this instant is in time.
    pub(crate) fn demand_progress(&mut self) {
        if let Some(after) = &mut self.after_the_storm {
            after.is_due = true;
        }
    }

    /// Nothing is left to happen at this instant.
    #[cold]
    pub(super) fn after_instant(&mut self) {
        // What comes at the last instant is in time. If nobody else is waited for, this is the end.
        if self.asked_until_ns.is_some_and(|until_ns| self.now_ns >= until_ns) {
            self.asked_until_ns = None;
            self.attention = true;
            return;
        }
        // The bound falls between two instants of the program's, mostly: there no state comes back.
        match self.after_the_storm.as_ref().is_some_and(|after| after.is_due) {
            true => self.judge_progress(),
            false => self.note_state(),
        }
    }

    /// Nobody is waited for any more. Where progress is demanded, a client that never returned and is down for good has made none: its bound
    /// needn't be waited for.
    pub(super) fn judge_who_is_down(&mut self) {
        let Some(AfterTheStorm { since_ns, within_ns: Some(_), .. }) = self.after_the_storm else { return };
        if self.clients_to_get_on().next().is_some() {
            let since = squall_trace::trace::format_ns(since_ns);
            let message = format!("no progress after the heal at {since}: {}", self.describe_who_is_down());
            self.fail_at("progress", message, None, None);
        }
    }

    /// The clients that were to get on and are down.
    fn describe_who_is_down(&self) -> String {
        let down: Vec<&str> = self.clients_to_get_on().filter(|node| !node.up).map(|node| &*node.name).collect();
        match &*down {
            [client] => format!("the client {client} is down and never returned"),
            clients => format!("the clients {} are down and never returned", clients.join(", ")),
        }
    }

    /// Whoever isn't through has made no progress.
    fn judge_progress(&mut self) {
        let Some(after) = &mut self.after_the_storm else { return };
        after.is_due = false;
        let Some(within_ns) = after.within_ns.take() else { return };
        let (since_ns, time) = (after.since_ns, squall_trace::trace::format_ns);
        if self.clients_to_get_on().next().is_none() {
            return;
        }
        let late = format!("no progress within {} of the heal at {}", time(within_ns), time(since_ns));
        // Who is down for good has no state, and waits for nothing.
        if !self.clients_waited_for() {
            return self.fail_at("progress", format!("{late}: {}", self.describe_who_is_down()), None, None);
        }
        // Where nothing at all is left to happen, it is a deadlock, and will be named so.
        if self.end_at_ns.is_none()
            && self.agenda.is_alone()
            && self.agenda.later().all(|(_, due)| !self.is_pending(due))
        {
            return;
        }
        let after = self.after_the_storm.as_ref().expect("it was there above");
        // The cause stands before the list: that may be long.
        let repeats = match (after.period(within_ns / 2), &after.states) {
            (Some(Period { since_ns, period_ns, times, reads_clocks }), _) => format!(
                "It is a livelock{}: since {} the run's state comes back every {} ({times} times so far). Which nodes are up, what they \
                 published last, their tasks, what those wait for and what is under way are the same each time, and nothing was drawn \
                 in between: it goes on for ever, unless a node counts something that it doesn't publish.",
                match reads_clocks {
                    true => ", unless what is waited for is a time that a node reads from its clock",
                    false => "",
                },
                time(since_ns),
                time(period_ns)
            ),
            (None, Some(_)) => "The run's states don't repeat themselves: no livelock is proved.".to_string(),
            (None, None) => "The run is too large to look for a state that comes back.".to_string(),
        };
        let message = format!("{late}: clients still wait\n{repeats}\nWaiting:\n{}", self.describe_waiting());
        self.fail_at("progress", message, None, None);
    }

    fn is_pending(&self, due: Due) -> bool {
        match due {
            Due::Timer { slot, generation } => self.timers.is_live(slot, generation),
            Due::Delivery { .. } => true,
            Due::Act { index } => !matches!(self.script.acts[index as usize], Act::DemandProgress | Act::EndAsking),
        }
    }

    /// Notes the state of the run between two instants. Mostly the clients are through long before half of the bound is over: until then it isn't
    /// worth the time.
    fn note_state(&mut self) {
        let Some(AfterTheStorm { since_ns, within_ns: Some(within_ns), states: Some(_), .. }) = self.after_the_storm
        else {
            return;
        };
        if self.now_ns < since_ns + within_ns / 2 {
            return;
        }
        let (state, words) = self.state();
        let noted = Noted { at_ns: self.now_ns, clock_reads: self.clock_reads, state };
        let Some(after) = &mut self.after_the_storm else { return };
        after.words += words;
        if after.words > WORDS_MAX {
            after.states = None;
        } else if let Some(states) = &mut after.states {
            states.push(noted);
        }
    }

    /// All that can be seen of the run and decides how it goes on, as a hash, with times counted from now; and how many words it is made of.
    /// Numbers of messages and of tasks are left out: programs don't see them.
    fn state(&self) -> (u128, u64) {
        let mut state = State::default();
        state.words([self.drawn]);
        for (id, node) in (0..).map(NodeId).zip(&self.nodes) {
            let stands_still = u64::from(self.stands_still(id));
            state.words([u64::from(node.up), u64::from(node.boot), u64::from(node.root_returned), stands_still]);
        }
        for (topic, facts) in &self.published {
            state.words([xxh3_64(topic.as_bytes())]);
            for (node, value) in facts {
                state.words([u64::from(node.0), xxh3_64(value.as_bytes())]);
            }
        }
        let tasks = (0..self.tasks.len() as u32).filter(|&slot| self.has_future(slot));
        state.multiset(tasks.map(|slot| self.task_as_word(slot)));
        let missed = self.put_aside.keys().filter(|&&slot| self.tasks[slot as usize].state == TaskState::Scheduled);
        state.multiset(missed.map(|&slot| self.task_as_word(slot)));
        let due = self.agenda.later().filter(|&(_, due)| self.is_pending(due));
        state.multiset(due.map(|(at_ns, due)| {
            let (kind, what) = match due {
                // A waker that isn't a task's says nothing of who waits.
                Due::Timer { slot, generation } => {
                    (1, self.timers.waiting_in(slot, generation).map_or(0, |task| self.task_as_word(task.slot)))
                }
                Due::Delivery { message } => (2, self.network.message_as_word(message, EPHEMERAL_PORT_FIRST)),
                Due::Act { index } => (3, xxh3_64(format!("{:?}", self.script.acts[index as usize]).as_bytes())),
            };
            hash_words([at_ns - self.now_ns, kind, what, 0])
        }));
        state.multiset(self.network.mail(EPHEMERAL_PORT_FIRST));
        state.words(self.network.held(EPHEMERAL_PORT_FIRST));
        state.multiset(self.network.streams.state(EPHEMERAL_PORT_FIRST));
        state.multiset(self.network.streams.waiting_segments().map(|message| {
            let waits_ns = self.timers.attempt_ns(message).map_or(u64::MAX, |at_ns| at_ns - self.now_ns);
            hash_words([self.network.message_as_word(message, EPHEMERAL_PORT_FIRST), waits_ns, 0, 0])
        }));
        state.words(self.network.queued(self.now_ns, EPHEMERAL_PORT_FIRST));
        state.words(self.waiting_for_processors().map(|task| self.task_as_word(task.slot)));
        (state.hasher.digest128(), state.count)
    }

    /// A task as programs know it: without the number that tells it from others of its name.
    fn task_as_word(&self, slot: u32) -> u64 {
        let task = &self.tasks[slot as usize];
        let details = &self.details[slot as usize];
        let operation = self.operations.get(&task.id).map_or(0, |operation| operation.number + 1);
        let name = match &details.name {
            TaskName::Given(name) => xxh3_64(name.as_bytes()),
            TaskName::OfType(name) => xxh3_64(name.as_bytes()),
            TaskName::Serving(name) => xxh3_64(name.as_bytes()) ^ 1,
            TaskName::Root => 0,
        };
        hash_words([u64::from(task.node.0) << 32 | u64::from(task.boot), name, operation, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states of instants that are a second apart.
    fn period_of(states: &str) -> Option<(u64, u64, u64)> {
        let noted = |(place, state)| Noted { at_ns: place as u64, clock_reads: 0, state: u128::from(state) };
        let noted: Vec<Noted> = states.bytes().enumerate().map(noted).collect();
        let looked_at_ns = (noted.len() as u64).saturating_sub(1);
        let after = AfterTheStorm { since_ns: 0, within_ns: None, is_due: false, states: Some(noted), words: 0 };
        after.period(looked_at_ns).map(|Period { since_ns, period_ns, times, .. }| (since_ns, period_ns, times))
    }

    #[test]
    fn whole_periods_come_back_twice_for_half_of_the_time() {
        for (states, expected) in [
            ("", None),
            ("a", None),
            ("aa", None),
            ("aaa", Some((0, 1, 2))),
            ("xaaa", Some((1, 1, 2))),
            ("xyaaa", Some((2, 1, 2))),
            ("xyzaaa", Some((3, 1, 2))),
            ("wxyzaaa", None),
            // The last state alone comes back: those in between differ.
            ("abacada", None),
            ("abab", None),
            ("ababa", Some((0, 2, 2))),
            ("xababa", Some((1, 2, 2))),
            // The shortest that holds: one state comes twice in each round.
            ("aabaabaa", Some((0, 3, 2))),
            ("baabaab", Some((0, 3, 2))),
            ("abaabaa", Some((0, 3, 2))),
        ] {
            assert_eq!(period_of(states), expected, "{states}");
        }
    }

    #[test]
    fn states_at_other_distances_are_no_period() {
        let at = |times: [u64; 4]| {
            let states = Some(times.map(|at_ns| Noted { at_ns, clock_reads: 0, state: 7 }).to_vec());
            AfterTheStorm { since_ns: 0, within_ns: None, is_due: false, states, words: 0 }.period(30).is_some()
        };
        assert!(at([0, 10, 20, 30]) && !at([0, 10, 25, 30]));
        // All that was noted may be a small part of what was looked at.
        let late = Some([960, 970, 980, 990].map(|at_ns| Noted { at_ns, clock_reads: 0, state: 7 }).to_vec());
        let late = AfterTheStorm { since_ns: 0, within_ns: None, is_due: false, states: late, words: 0 };
        assert!(late.period(60).is_some() && late.period(62).is_none());
    }

    /// It takes as long as there are states, also where most of them agree and too few.
    #[test]
    fn many_states_that_agree_too_shortly_are_no_period() {
        let count = 1_000_000u64;
        let noted = |place: u64| Noted { at_ns: place, clock_reads: 0, state: u128::from(place.min(count * 6 / 10)) };
        let states = Some((0..count).map(noted).collect());
        let after = AfterTheStorm { since_ns: 0, within_ns: None, is_due: false, states, words: 0 };
        assert!(after.period(count).is_none());
    }
}
