//! Rules on messages: which ones, and what becomes of them.
//!
//! A rule is a value: whose messages, when, which of those, and what is done with them. Of several that concern a message, the first in the
//! order of their declaration that does something decides. Each time is a decision with an address of its own, so a shrunk failure names the messages
//! that had to be touched and leaves all others alone.
//!
//! ```
//! # use squall_engine::{World, rule};
//! # use std::time::Duration;
//! # fn describe(world: &mut World) {
//! // The second answer that store-0 gives to client-1 comes late, and nothing else does.
//! world.rule(rule::deliver_after("store-0", "client-1", Duration::from_secs(2)).answers().skip(1).times(1));
//! // Of short datagrams, one in ten is lost.
//! world.rule(rule::drop("*", "*").matching(|message| message.bytes().len() < 16).share("10%".parse().unwrap()));
//! # }
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use squall_trace::id::hash_words;
use squall_trace::ratio::Threshold;
use squall_trace::target::{Unreached, UnreachedFault};
use squall_trace::trace::format_ns;
use squall_trace::{FlowId, FlowInfo, FlowRole, NodeId, Ratio, Site, SiteKind};

use crate::kernel::{Kernel, Node, short_type_name};
use crate::network::{Fate, Kind, Ruling};
use crate::rpc::{self, Request};
use crate::script::Act;
use crate::world::{duration_ns, matches};

/// A message that a rule looks at when it leaves its node.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    from: &'m str,
    to: &'m str,
    to_port: u16,
    tag: u64,
    kind: Kind,
    method: Option<&'static str>,
    bytes: &'m [u8],
}

impl<'m> Message<'m> {
    /// The name of the node that sends it.
    #[must_use]
    pub fn from(&self) -> &'m str {
        self.from
    }

    /// The name of the node that it is for.
    #[must_use]
    pub fn to(&self) -> &'m str {
        self.to
    }

    /// The port that it is for.
    #[must_use]
    pub fn to_port(&self) -> u16 {
        self.to_port
    }

    /// Whether it is a call, which wants an answer.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.kind == Kind::Call
    }

    /// Whether it is the answer to a call.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.kind == Kind::Answer
    }

    /// Of a datagram: the tag under which it is sent.
    #[must_use]
    pub fn tag(&self) -> Option<u64> {
        (self.kind == Kind::Datagram).then_some(self.tag)
    }

    /// Of a call, its answer or its refusal: the request's type, without the modules that it is in.
    #[must_use]
    pub fn method(&self) -> Option<&'static str> {
        self.method.map(|path| path.rsplit("::").next().unwrap_or(path))
    }

    /// Whether its method is one of those: by the type's name, or as reports say it, with the module.
    fn is_of_method(&self, pattern: &str) -> bool {
        let is_that = |path| matches(pattern, &short_type_name(path));
        self.method().is_some_and(|name| matches(pattern, name)) || self.method.is_some_and(is_that)
    }

    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &'m [u8] {
        self.bytes
    }

    /// The request, if it is a call of that type.
    #[must_use]
    pub fn call<R: Request>(&self) -> Option<R> {
        (self.is_call() && self.tag == R::ID).then(|| rpc::decode(self.bytes).ok()).flatten()
    }

    /// The answer, if it is one to a call of that type.
    #[must_use]
    pub fn answer<R: Request>(&self) -> Option<R::Response> {
        (self.is_answer() && self.tag == R::ID).then(|| rpc::decode(self.bytes).ok()).flatten()
    }

    /// What it holds, if that can be read as such a value in the encoding of calls, [postcard](https://docs.rs/postcard)'s.
    #[must_use]
    pub fn decode<T: DeserializeOwned>(&self) -> Option<T> {
        rpc::decode(self.bytes).ok()
    }
}

/// Which messages of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Those that are neither calls nor what comes back for them.
    Datagrams,
    /// Calls, which want an answer.
    Calls,
    /// Answers to calls.
    Answers,
    /// Segments of streams, those that begin and end a connection among them. One that is dropped, or has a bit flipped, is sent again later, and is asked about anew then;
    /// to copies nothing happens.
    Segments,
}

impl Messages {
    /// All of them, with the names that scenario files have for them.
    pub const ALL: [(&'static str, Messages); 4] = [
        ("datagrams", Messages::Datagrams),
        ("calls", Messages::Calls),
        ("answers", Messages::Answers),
        ("segments", Messages::Segments),
    ];

    fn has(self, kind: Kind) -> bool {
        match self {
            Messages::Datagrams => kind == Kind::Datagram,
            Messages::Calls => kind == Kind::Call,
            Messages::Answers => kind == Kind::Answer,
            Messages::Segments => kind == Kind::Segment,
        }
    }

    /// One of them, in words.
    fn singular(self) -> &'static str {
        match self {
            Messages::Datagrams => "datagram",
            Messages::Calls => "call",
            Messages::Segments => "segment",
            Messages::Answers => "answer",
        }
    }
}

type Predicate = Arc<dyn Fn(&Message<'_>) -> bool + Send + Sync>;

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Pass,
    DeliverAfter(Duration),
    Drop,
    Duplicate(Duration),
    Corrupt,
    Hold,
}

/// A rule; see the [module](self).
#[derive(Clone)]
#[must_use = "a rule does something once a world has it: world.rule(...)"]
pub struct Rule {
    name: Option<String>,
    from: String,
    to: String,
    both_ways: bool,
    messages: Option<Messages>,
    method: Option<String>,
    to_port: Option<u16>,
    tag: Option<u64>,
    predicate: Option<Predicate>,
    at: Duration,
    lasts: Option<Duration>,
    skip: u64,
    times: Option<u64>,
    share: Ratio,
    /// By which power of two its share is multiplied.
    exponent: i8,
    does: Does,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.sentence()).finish()
    }
}

/// It arrives: neither the weather nor a later rule loses it, copies it or flips a bit of it. It takes as long as the weather says, and partitions and holds stop it
/// as any other, and so does a queue that is full before it leaves. This is no perturbation, and so no decision.
pub fn pass(from: impl Into<String>, to: impl Into<String>) -> Rule {
    Rule::new(from, to, Does::Pass)
}

/// It isn't lost, and arrives exactly that long after it has left its node.
pub fn deliver_after(from: impl Into<String>, to: impl Into<String>, after: Duration) -> Rule {
    Rule::new(from, to, Does::DeliverAfter(after))
}

/// It is lost.
pub fn drop(from: impl Into<String>, to: impl Into<String>) -> Rule {
    Rule::new(from, to, Does::Drop)
}

/// It arrives twice, the copy after that long; what becomes of the message itself is the weather's business.
pub fn duplicate(from: impl Into<String>, to: impl Into<String>, copy_after: Duration) -> Rule {
    Rule::new(from, to, Does::Duplicate(copy_after))
}

/// It arrives with one bit flipped, which is drawn; a message without bytes arrives as it is.
pub fn corrupt(from: impl Into<String>, to: impl Into<String>) -> Rule {
    Rule::new(from, to, Does::Corrupt)
}

/// It waits at its sender until the rule's time is over ([`Rule::lasts`]) or the world heals, and arrives then, or when it would have arrived if that is later.
pub fn hold(from: impl Into<String>, to: impl Into<String>) -> Rule {
    Rule::new(from, to, Does::Hold)
}

impl Rule {
    fn new(from: impl Into<String>, to: impl Into<String>, does: Does) -> Rule {
        Rule {
            name: None,
            from: from.into(),
            to: to.into(),
            both_ways: false,
            messages: None,
            method: None,
            to_port: None,
            tag: None,
            predicate: None,
            at: Duration::ZERO,
            lasts: None,
            skip: 0,
            times: None,
            share: Ratio::ONE,
            exponent: 0,
            does,
        }
    }

    /// A name of its own, which is its address from then on.
    pub fn named(mut self, name: impl Into<String>) -> Rule {
        self.name = Some(name.into());
        self
    }

    /// Also messages the other way.
    pub fn both_ways(mut self) -> Rule {
        self.both_ways = true;
        self
    }

    /// From when on, from the run's start; else from the start itself. A message is one of the time at which it leaves its node.
    pub fn at(mut self, at: Duration) -> Rule {
        self.at = at;
        self
    }

    /// For how long, else for ever.
    pub fn lasts(mut self, lasts: Duration) -> Rule {
        self.lasts = Some(lasts);
        self
    }

    /// Only such messages.
    pub fn only(mut self, messages: Messages) -> Rule {
        self.messages = Some(messages);
        self
    }

    /// Only calls.
    pub fn calls(self) -> Rule {
        self.only(Messages::Calls)
    }

    /// Only answers.
    pub fn answers(self) -> Rule {
        self.only(Messages::Answers)
    }

    /// Only segments of streams.
    pub fn segments(self) -> Rule {
        self.only(Messages::Segments)
    }

    /// Only datagrams.
    pub fn datagrams(self) -> Rule {
        self.only(Messages::Datagrams)
    }

    /// Only calls of that type of request, and what comes back for them: the type's name, with the module that it is in (as reports say it) or without, or a
    /// pattern with `*`.
    pub fn method(mut self, method: impl Into<String>) -> Rule {
        self.method = Some(method.into());
        self
    }

    /// Only datagrams under that tag.
    pub fn tag(mut self, tag: u64) -> Rule {
        self.tag = Some(tag);
        self
    }

    /// Only what is for that port.
    pub fn to_port(mut self, port: u16) -> Rule {
        self.to_port = Some(port);
        self
    }

    /// Only those for which it is true. It is asked once for each message that all else fits, in the midst of the sending: it must be a function of the message
    /// alone, and can call nothing of Squall's.
    pub fn matching(mut self, is_meant: impl Fn(&Message<'_>) -> bool + Send + Sync + 'static) -> Rule {
        self.predicate = Some(Arc::new(is_meant));
        self
    }

    /// Leaves out so many messages that fit, the first ones.
    pub fn skip(mut self, messages: u64) -> Rule {
        self.skip = messages;
        self
    }

    /// Only so many messages that fit, behind those that it leaves out; else all.
    pub fn times(mut self, messages: u64) -> Rule {
        self.times = Some(messages);
        self
    }

    /// Only that share of the messages that fit; which ones is drawn. A share of zero is none of them, from which a sweep may begin.
    pub fn share(mut self, share: Ratio) -> Rule {
        self.share = share;
        self
    }

    /// Whether it can be as it is said.
    ///
    /// # Errors
    /// In words, for its author: it can concern no message, or says something twice.
    pub fn validate(&self) -> Result<(), String> {
        let wrong = |text: &str| Err(text.to_string());
        if self.lasts.is_some_and(|lasts| lasts.is_zero()) {
            return wrong("a rule that lasts no time concerns no message");
        }
        if self.times == Some(0) {
            return wrong("a rule for 0 messages concerns none: `times` is from 1 on");
        }
        if self.method.as_deref() == Some("") {
            return wrong("no method has an empty name: leave out `method`, or say one");
        }
        if self.tag.is_some()
            && (self.method.is_some() || self.messages.is_some_and(|only| only != Messages::Datagrams))
        {
            return wrong("only datagrams have a tag: leave out `tag`, or what makes it a rule on calls and answers");
        }
        if self.method.is_some() && self.messages == Some(Messages::Datagrams) {
            return wrong("datagrams are of no method: leave out `method`, or say `calls` or `answers`");
        }
        if self.method.is_some() && self.messages == Some(Messages::Segments) {
            return wrong("segments are of no method: leave out `method`, or say `calls` or `answers`");
        }
        if matches!(self.does, Does::Duplicate(_)) && self.messages == Some(Messages::Segments) {
            return wrong("a stream has no copies: leave out `messages`, or say `datagrams`, `calls` or `answers`");
        }
        if self.does == Does::Pass && self.share != Ratio::ONE {
            return wrong("to pass is no decision, so it can't be drawn: leave out `share`");
        }
        if let Does::DeliverAfter(time) | Does::Duplicate(time) = self.does
            && duration_ns(time) > crate::latency::LATENCY_NS_MAX
        {
            return wrong("a message takes at most 2^62 ns, some 146 years");
        }
        Ok(())
    }

    /// Whether what it does to a message is a decision.
    pub(crate) fn is_decided(&self) -> bool {
        self.does != Does::Pass
    }

    /// Multiplies its share by a power of two, up to all messages: whatever it says, which is its address.
    pub(crate) fn scale(&mut self, exponent: i8) {
        self.exponent = exponent;
    }

    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// In plain words; its address unless it has a name.
    #[must_use]
    pub fn sentence(&self) -> String {
        let kind = self.messages.map_or("message", Messages::singular);
        let method = self.method.as_ref().map_or_else(String::new, |method| format!(" of {method}"));
        let tag = self.tag.map_or_else(String::new, |tag| format!(" under tag {tag}"));
        let arrow = if self.both_ways { "and" } else { "->" };
        let port = self.to_port.map_or_else(String::new, |port| format!(":{port}"));
        let meant = if self.predicate.is_some() { " that match" } else { "" };
        let skip = if self.skip > 0 { format!(", without the first {}", self.skip) } else { String::new() };
        let times = self.times.map_or_else(String::new, |times| format!(", {times} of them"));
        let share = if self.share == Ratio::ONE { String::new() } else { format!(", {} of them", self.share) };
        let at = if self.at.is_zero() { String::new() } else { format!(" from {} on", ns(self.at)) };
        let lasts = self.lasts.map_or_else(String::new, |lasts| format!(" for {}", ns(lasts)));
        let (from, to, does) = (&self.from, &self.to, self.does_in_words());
        format!("{kind}s{method}{tag} {from} {arrow} {to}{port}{meant}{skip}{times}{share}{at}{lasts}: each {does}")
    }

    fn does_in_words(&self) -> String {
        match self.does {
            Does::Pass => "passes".to_string(),
            Does::DeliverAfter(after) => format!("arrives after {}", ns(after)),
            Does::Drop => "is dropped".to_string(),
            Does::Duplicate(after) => format!("arrives twice, the copy after {}", ns(after)),
            Does::Corrupt => "arrives with a bit flipped".to_string(),
            Does::Hold => "is held".to_string(),
        }
    }

    /// By what its decisions are known: its name, or what it says.
    #[must_use]
    pub fn address(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.sentence())
    }

    /// As it is said of one message.
    fn says(&self) -> String {
        match &self.name {
            Some(name) => format!("{} (rule {name:?})", self.does_in_words()),
            None => format!("{} (a rule)", self.does_in_words()),
        }
    }
}

fn ns(duration: Duration) -> String {
    format_ns(duration_ns(duration))
}

/// A rule in a run.
pub(crate) struct RunningRule {
    rule: Rule,
    share: Threshold,
    address_hash: u64,
    /// How many messages fitted so far.
    fitted: u64,
}

/// A message that a rule holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldByRule {
    pub message: u32,
    rule: usize,
    /// When it would have arrived.
    due_ns: u64,
}

/// The rules of a run, and what they hold.
#[derive(Default)]
pub(crate) struct Rules {
    all: Vec<RunningRule>,
    pub held: Vec<HeldByRule>,
    /// Whether one of them goes by the names of methods.
    pub want_methods: bool,
}

impl Rules {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them may concern what one node sends to another, by their names.
    pub(crate) fn concern(&self, from: &str, to: &str) -> bool {
        self.all.iter().any(|running| running.rule.is_between(from, to))
    }
}

impl Rule {
    fn is_between(&self, from: &str, to: &str) -> bool {
        let there = matches(&self.from, from) && matches(&self.to, to);
        there || self.both_ways && matches(&self.from, to) && matches(&self.to, from)
    }

    fn fits(&self, message: &Message<'_>) -> bool {
        self.is_between(message.from, message.to)
            && self.messages.is_none_or(|only| only.has(message.kind))
            && self.to_port.is_none_or(|port| port == message.to_port)
            && self.tag.is_none_or(|tag| message.tag() == Some(tag))
            && self.method.as_ref().is_none_or(|pattern| message.is_of_method(pattern))
            && self.predicate.as_ref().is_none_or(|is_meant| is_meant(message))
    }
}

impl Kernel {
    /// Takes a rule in.
    ///
    /// # Errors
    /// In words, if it names no node, or only one and the same.
    pub(crate) fn add_rule(&mut self, rule: Rule) -> Result<(), String> {
        let sentence = rule.sentence();
        let is_there = |pattern: &str, node: &&Node| !node.control && matches(pattern, &node.name);
        for pattern in [&rule.from, &rule.to] {
            if !self.nodes.iter().any(|node| is_there(pattern, &node)) {
                let names: Vec<&str> = self.nodes.iter().filter(|node| !node.control).map(|node| &*node.name).collect();
                return Err(format!(
                    "the rule on {sentence} names {pattern:?}, but the nodes are {}",
                    names.join(", ")
                ));
            }
        }
        let is_named = |node: &&Node| is_there(&rule.from, node) || is_there(&rule.to, node);
        if self.nodes.iter().filter(is_named).count() < 2 {
            return Err(format!(
                "the rule on {sentence} names one node alone: what a node sends to itself meets no rule"
            ));
        }
        let rules = &mut self.network.rules_on_messages;
        if let (Does::Hold, Some(lasts)) = (rule.does, rule.lasts) {
            let rule_index = rules.all.len() as u32;
            let at_ns = duration_ns(rule.at.saturating_add(lasts));
            self.schedule_act(at_ns, Act::EndRule { rule: rule_index });
        }
        let rules = &mut self.network.rules_on_messages;
        rules.want_methods |= rule.method.is_some() || rule.predicate.is_some();
        let address_hash = squall_trace::id::hash_parts(&[b"rule", rule.address().as_bytes()]);
        let share = rule.share.times_power_of_two(rule.exponent).threshold();
        rules.all.push(RunningRule { share, address_hash, fitted: 0, rule });
        Ok(())
    }

    /// What rules do to a message that leaves its node, whose fate is `drawn` so far. They are asked as about one of the flow `drawn_by`: where a segment is
    /// sent again, that is another one.
    #[cold]
    pub(crate) fn apply_rules(&mut self, index: u32, drawn_by: FlowId, drawn: &mut Fate) {
        let (_, number, _) = self.network.flow_number_and_kind(index);
        for at in self.rules_that_mean(index) {
            let running = &self.network.rules_on_messages.all[at];
            let (does, share, says) = (running.rule.does, running.share, running.rule.says());
            let of_rule = FlowId(hash_words([running.address_hash, drawn_by.0, 0, 0]));
            if does == Does::Pass {
                (drawn.lost, drawn.copy_ns, drawn.flipped, drawn.ruling) = (false, 0, 0, Ruling::Pass);
                return;
            }
            let bits = self.network.port_tag_and_bytes(index).2.len() as u64 * 8;
            let [whether, which] = self.decisions.key(self.now_ns).words(of_rule, number, SiteKind::Rule as u16);
            let bit = if does == Does::Corrupt { ((u128::from(which) * u128::from(bits)) >> 64) as u64 } else { 0 };
            let value = if share.hit(whether) { 1 + bit } else { 0 };
            let site = Site { kind: SiteKind::Rule, flow: of_rule, number };
            let network = &self.network;
            let value = self.decisions.decide(site, self.now_ns, 0, value, || network.fingerprint(index));
            let Some(bit) = value.checked_sub(1) else { continue };
            let (from, to) = self.network.ends_of(index);
            let role = self.network.role_of(index);
            self.journal.name_flow(of_rule, || {
                let role = FlowRole::Rule { of: Box::new(role), does: says };
                FlowInfo { from, to, role, operation: None }
            });
            match does {
                Does::Pass => unreachable!("it was seen before"),
                Does::DeliverAfter(after) => {
                    (drawn.lost, drawn.latency_ns, drawn.ruling) = (false, duration_ns(after), Ruling::DeliverAfter);
                }
                Does::Drop => (drawn.lost, drawn.copy_ns, drawn.ruling) = (true, 0, Ruling::Drop),
                Does::Duplicate(after) => {
                    (drawn.copy_ns, drawn.ruling) = (duration_ns(after).saturating_add(1), Ruling::Duplicate);
                }
                // Beyond its bytes, as a plan may say, it is counted from the first again.
                Does::Corrupt => (drawn.flipped, drawn.ruling) = (bit % bits + 1, Ruling::Corrupt),
                // A copy would go by.
                Does::Hold => (drawn.copy_ns, drawn.ruling) = (0, Ruling::Hold { rule: at as u32 }),
            }
            return;
        }
    }

    /// The rules that mean a message, in order. Each counts the messages that fit it, whatever others do to them: what one decides doesn't shift which messages
    /// another one means.
    fn rules_that_mean(&mut self, index: u32) -> Vec<usize> {
        let (_, _, kind) = self.network.flow_number_and_kind(index);
        let (from, to) = self.network.ends_of(index);
        let mut meant = Vec::new();
        let mut panicked = None;
        for at in 0..self.network.rules_on_messages.all.len() {
            let names = (&*self.nodes[from.index()].name, &*self.nodes[to.index()].name);
            let message = self.network.as_message(index, kind, names);
            let rule = &self.network.rules_on_messages.all[at].rule;
            // A bit of it has to be there.
            if rule.does == Does::Corrupt && message.bytes.is_empty() {
                continue;
            }
            let since_ns = self.now_ns.checked_sub(duration_ns(rule.at));
            let is_now = since_ns.is_some_and(|ns| rule.lasts.is_none_or(|lasts| ns < duration_ns(lasts)));
            // Its author's code: it fails the world, not the node that happens to send.
            let fits = match is_now.then(|| catch_unwind(AssertUnwindSafe(|| rule.fits(&message)))) {
                None | Some(Ok(false)) => continue,
                Some(Ok(true)) => true,
                Some(Err(panic)) => {
                    panicked = Some((at, panic));
                    false
                }
            };
            if !fits {
                break;
            }
            let running = &mut self.network.rules_on_messages.all[at];
            let place = running.fitted;
            running.fitted += 1;
            let Rule { skip, times, .. } = running.rule;
            if place >= skip && times.is_none_or(|times| place - skip < times) {
                meant.push(at);
            }
        }
        if let Some((at, panic)) = panicked {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no message");
            // The rule is what called it.
            let text = text.trim_start_matches("a defect of Squall's: ");
            let rule = self.network.rules_on_messages.all[at].rule.sentence();
            self.misused(format!(
                "the rule on {rule} panicked while it looked at a message: {text} (it must take every message, and can call nothing of Squall's)"
            ));
        }
        meant
    }

    /// A message stays at its sender until a rule lets it go.
    pub(crate) fn hold_by_rule(&mut self, message: u32, rule: u32, latency_ns: u64) {
        let due_ns = self.now_ns.saturating_add(latency_ns);
        self.network.rules_on_messages.held.push(HeldByRule { message, rule: rule as usize, due_ns });
    }

    /// Takes what rules hold of what a node has sent.
    pub(crate) fn take_held_by_rules_of(&mut self, node: NodeId) -> Vec<u32> {
        let held = std::mem::take(&mut self.network.rules_on_messages.held);
        let (of_node, held): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|held| self.network.ends_of(held.message).0 == node);
        self.network.rules_on_messages.held = held;
        of_node.into_iter().map(|held| held.message).collect()
    }

    /// The time of a rule is over: what it held is on its way.
    pub(crate) fn end_rule(&mut self, rule: u32) {
        self.let_go(|_, held| held.rule == rule as usize);
    }

    /// What is held between nodes for which the storm is over is on its way.
    pub(crate) fn let_go_among_healed(&mut self) {
        self.let_go(|kernel, held| {
            let (from, to) = kernel.network.ends_of(held.message);
            kernel.network.is_calm(from, to)
        });
    }

    fn let_go(&mut self, is_free: impl Fn(&Kernel, &HeldByRule) -> bool) {
        let held = std::mem::take(&mut self.network.rules_on_messages.held);
        let (free, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| is_free(self, held));
        self.network.rules_on_messages.held = held;
        for HeldByRule { message, due_ns, .. } in free {
            self.launch(message, due_ns.saturating_sub(self.now_ns));
        }
    }

    /// Rules that found no message, as they are told.
    pub(crate) fn rules_that_met_nothing(&self) -> Vec<UnreachedFault> {
        let rules = self.network.rules_on_messages.all.iter();
        let unused = rules.filter(|running| running.fitted <= running.rule.skip);
        let said = |running: &RunningRule| match &running.rule.name {
            Some(name) => format!("the rule {name:?} ({})", running.rule.sentence()),
            None => format!("the rule on {}", running.rule.sentence()),
        };
        unused.map(|running| UnreachedFault { fault: said(running), why: Unreached::NoMessage }).collect()
    }
}

impl crate::network::Network {
    fn as_message<'m>(&'m self, index: u32, kind: Kind, (from, to): (&'m str, &'m str)) -> Message<'m> {
        let (to_port, tag, bytes) = self.port_tag_and_bytes(index);
        let method = self.method_of(index);
        Message { from, to, to_port, tag, kind, method, bytes }
    }
}
