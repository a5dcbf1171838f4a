//! The parts of a scenario file, and what they do to a world.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use squall_engine::knob::{self, Fixed};
use squall_engine::latency::Latency;
use squall_engine::{AtMost, Budget, Buggify, Bursts, CAPACITY_BYTES_MAX, Disk, Link, Tcp, World, matches};
use squall_trace::Ratio;
use toml::de::DeValue;
use toml::value::Datetime;

use super::Isolation;
use super::faults::{FaultSettings, read_faults};
use super::mistake::Draft;
use super::reader::{Fields, Reader, Value, nanoseconds, shortened};
use super::rules::{RuleSettings, read_rules};
use super::units::{epoch_ns, nearest};
use squall_campaign::seeds::SeedRange;
use squall_check::claim::Claim;
use squall_check::models::Named;
use squall_check::property::claimed;
use squall_check::sessions::Guarantee;
use squall_check::transactions::Level;

/// A world of more nodes than this needs more memory than most machines have.
pub(super) const COUNT_MAX: u64 = 100_000;

/// All that a file says about the world, but for the program and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub counts: Vec<CountSetting>,
    pub limit_ns: Option<u64>,
    pub limit_span: Option<Range<usize>>,
    pub limit_events: Option<u64>,
    pub limit_memory_bytes: Option<u64>,
    limit_memory_span: Option<Range<usize>>,
    pub end: Option<Duration>,
    pub end_span: Option<Range<usize>>,
    pub epoch_ns: Option<u64>,
    pub network: Weather,
    pub links: Vec<LinkSettings>,
    pub uplinks: Vec<UplinkSettings>,
    loopback: Option<Latency>,
    tcp: Option<Tcp>,
    storage: DiskConditions,
    pub disks: Vec<DiskSettings>,
    pub faults: Vec<FaultSettings>,
    pub rules: Vec<RuleSettings>,
    pub heal: Option<HealSettings>,
    swarm: Option<bool>,
    buggify: BuggifySettings,
    knobs: Vec<(String, Fixed)>,
    pub budgets: Vec<BudgetSettings>,
    /// What is claimed of the history of a run: under which key, and where that is said.
    pub claims: Vec<PlacedClaim>,
    /// Patterns of goals that aren't to be reached.
    pub unreached: Vec<NamePlace>,
}

/// How many nodes of a role there are.
#[derive(Clone, Debug)]
pub(super) struct CountSetting {
    pub role: String,
    pub count: u32,
    pub key_span: Range<usize>,
    pub span: Range<usize>,
}

/// What a link does to messages, as far as it is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    latency: Option<Latency>,
    loss: Option<Ratio>,
    reorder: Option<Ratio>,
    duplicate: Option<Ratio>,
    duplicate_latency: Option<Latency>,
    duplicate_latency_span: Option<Range<usize>>,
    corruption: Option<Ratio>,
    reset: Option<Ratio>,
    bursts: Option<Bursts>,
    queues: Queues,
}

/// How fast something sends, and how much waits there, as far as it is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    bandwidth_bits_per_second: Option<u64>,
    queue_bytes: Option<u64>,
    queue_span: Option<Range<usize>>,
}

impl Queues {
    const KEYS: [&str; 2] = ["bandwidth", "queue"];

    fn read(reader: &mut Reader, fields: &Fields<'_, '_>) -> Queues {
        let queue = fields.get("queue");
        Queues {
            bandwidth_bits_per_second: fields.get("bandwidth").and_then(|value| reader.bandwidth("bandwidth", value)),
            queue_bytes: queue.and_then(|value| read_queue(reader, value)),
            queue_span: queue.map(Value::span),
        }
    }
}

/// `[tcp]`; what isn't said is as usual.
fn read_tcp(reader: &mut Reader, top: &Fields<'_, '_>) -> Option<Tcp> {
    const KEYS: [&str; 6] =
        ["window", "retransmission", "connect_retransmission", "retransmission_max", "connect_timeout", "give_up"];
    let fields = reader.table(top, "tcp", "[tcp]", &KEYS)?;
    let mut tcp = Tcp::default();
    if let Some(value) = fields.get("window") {
        let text = reader.text("window", "how much may be under way or unread, such as \"64KiB\"", value)?;
        match super::units::parse_bytes("how much may be under way or unread,", text) {
            Ok(0) => {
                reader.note(
                    Draft::new(value.span(), "`window`: nothing could ever be sent").label("expected at least a byte"),
                );
                return None;
            }
            Ok(bytes) => tcp.window_bytes = bytes,
            Err(message) => {
                reader.note(Draft::new(value.span(), format!("`window`: {message}")).label("here"));
                return None;
            }
        }
    }
    let mut time = |key: &str, place: &mut Duration| {
        let value = fields.get(key)?;
        *place = reader.positive_duration(key, "nothing has any time", value)?;
        Some(())
    };
    time("retransmission", &mut tcp.retransmission);
    time("connect_retransmission", &mut tcp.connect_retransmission);
    time("retransmission_max", &mut tcp.retransmission_max);
    time("connect_timeout", &mut tcp.connect_timeout);
    time("give_up", &mut tcp.give_up);
    Some(tcp)
}

fn read_queue(reader: &mut Reader, value: &Value<'_>) -> Option<u64> {
    let text = reader.text("queue", "how much waits to be sent, such as \"64KiB\"", value)?;
    match super::units::parse_bytes("how much waits to be sent,", text) {
        Ok(bytes) => Some(bytes),
        Err(message) => {
            reader.note(Draft::new(value.span(), format!("`queue`: {message}")).label("here"));
            None
        }
    }
}

/// A `[[uplink]]`.
#[derive(Clone, Debug)]
pub(super) struct UplinkSettings {
    pub node: NamePlace,
    queues: Queues,
}

fn read_uplinks(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<UplinkSettings> {
    let keys = [&["node", "name"][..], &Queues::KEYS].concat();
    let mut names = GivenNames::default();
    let mut uplinks = Vec::new();
    for (table, span) in reader.tables(top, "uplink") {
        let fields = reader.fields(table, span, "[[uplink]]", &keys);
        names.read(reader, &fields, "uplink");
        let node = read_named(reader, &fields, "node");
        let queues = Queues::read(reader, &fields);
        if Queues::KEYS.iter().all(|key| fields.get(key).is_none()) {
            reader.missing(&fields, "bandwidth", "how much passes in a second, such as \"100Mbit/s\"");
        }
        if let Some(node) = node {
            uplinks.push(UplinkSettings { node, queues });
        }
    }
    uplinks
}

/// A node's name or a pattern, with its place.
#[derive(Clone, Debug)]
pub(super) struct NamePlace {
    pub name: String,
    pub span: Range<usize>,
}

/// `[heal]`.
#[derive(Clone, Debug)]
pub(super) struct HealSettings {
    pub at: Duration,
    pub at_span: Range<usize>,
    /// If it isn't for all nodes.
    pub core: Option<Vec<NamePlace>>,
    pub within: Option<Duration>,
    pub span: Range<usize>,
}

impl HealSettings {
    pub(super) fn apply(&self, world: &mut World) {
        let heal = world.heal(self.at);
        if let Some(core) = &self.core {
            heal.core(core.iter().map(|place| place.name.as_str()));
        }
        if let Some(within) = self.within {
            heal.progress_within(within);
        }
    }

    /// When all that it demands has been judged.
    pub(super) fn judged_at(&self) -> Duration {
        self.at.saturating_add(self.within.unwrap_or_default())
    }
}

/// `[buggify]`, as far as it is said.
#[derive(Clone, Copy, Debug, Default)]
struct BuggifySettings {
    enabled: Option<Ratio>,
    share: Option<Ratio>,
    knobs: Option<Ratio>,
}

/// A `[[budget]]`.
#[derive(Clone, Debug)]
pub(super) struct BudgetSettings {
    pub budget: Budget,
    /// The nodes that it is of, if it says that.
    pub of: Vec<NamePlace>,
    pub span: Range<usize>,
}

/// A `[[link]]`.
#[derive(Clone, Debug)]
pub(super) struct LinkSettings {
    pub from: NamePlace,
    pub to: NamePlace,
    pub both_ways: bool,
    pub weather: Weather,
}

impl LinkSettings {
    /// The patterns of those who send what passes it.
    fn senders(&self) -> Vec<&str> {
        let back = self.both_ways.then_some(self.to.name.as_str());
        std::iter::once(self.from.name.as_str()).chain(back).collect()
    }
}

/// How disks behave, as far as it is said.
#[derive(Clone, Debug, Default)]
struct DiskConditions {
    latency: Option<Latency>,
    sync_latency: Option<Latency>,
    capacity_bytes: Option<u64>,
    crash_loss: Option<Ratio>,
    torn: Option<Ratio>,
    read_failure: Option<Ratio>,
    write_failure: Option<Ratio>,
    sync_failure: Option<Ratio>,
    bit_rot: Option<Ratio>,
}

/// A `[[disk]]`.
#[derive(Clone, Debug)]
pub(super) struct DiskSettings {
    pub node: NamePlace,
    conditions: DiskConditions,
}

impl DiskConditions {
    const KEYS: [&str; 9] = [
        "latency",
        "sync_latency",
        "capacity",
        "crash_loss",
        "torn",
        "read_failure",
        "write_failure",
        "sync_failure",
        "bit_rot",
    ];

    fn read(reader: &mut Reader, fields: &Fields<'_, '_>) -> DiskConditions {
        let latency = fields.get("latency").and_then(|value| reader.latency("latency", value));
        let sync_latency = fields.get("sync_latency").and_then(|value| reader.latency("sync_latency", value));
        let capacity_bytes = fields.get("capacity").and_then(|value| read_capacity(reader, value));
        let mut share = |key: &str| fields.get(key).and_then(|value| reader.share(key, value));
        DiskConditions {
            latency,
            sync_latency,
            capacity_bytes,
            crash_loss: share("crash_loss"),
            torn: share("torn"),
            read_failure: share("read_failure"),
            write_failure: share("write_failure"),
            sync_failure: share("sync_failure"),
            bit_rot: share("bit_rot"),
        }
    }

    fn apply(&self, mut disk: Disk<'_>) {
        if let Some(latency) = &self.latency {
            disk.latency(latency.clone());
        }
        if let Some(latency) = &self.sync_latency {
            disk.sync_latency(latency.clone());
        }
        if let Some(bytes) = self.capacity_bytes {
            disk.capacity_bytes(bytes);
        }
        if let Some(share) = self.crash_loss {
            disk.crash_loss(share);
        }
        if let Some(share) = self.torn {
            disk.torn(share);
        }
        if let Some(share) = self.read_failure {
            disk.read_failure(share);
        }
        if let Some(share) = self.write_failure {
            disk.write_failure(share);
        }
        if let Some(share) = self.sync_failure {
            disk.sync_failure(share);
        }
        if let Some(share) = self.bit_rot {
            disk.bit_rot(share);
        }
    }
}

fn read_capacity(reader: &mut Reader, value: &Value<'_>) -> Option<u64> {
    const WHAT: &str = "how much a disk holds,";
    let text = reader.text("capacity", "how much a disk holds, such as \"64MiB\"", value)?;
    let (message, label) = match super::units::parse_bytes(WHAT, text) {
        Ok(0) => ("a disk that holds nothing can't be".to_string(), "expected at least 1KiB"),
        Ok(bytes) if bytes > CAPACITY_BYTES_MAX => {
            ("a simulated disk lies in memory: it holds 1 TiB at the most".to_string(), "expected at most 1024GiB")
        }
        Ok(bytes) => return Some(bytes),
        Err(message) => (message, "here"),
    };
    reader.note(Draft::new(value.span(), format!("`capacity`: {message}")).label(label));
    None
}

fn read_disks(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<DiskSettings> {
    let mut keys = vec!["node", "name"];
    keys.extend(DiskConditions::KEYS);
    let mut names = GivenNames::default();
    let mut disks = Vec::new();
    for (table, span) in reader.tables(top, "disk") {
        let fields = reader.fields(table, span, "[[disk]]", &keys);
        names.read(reader, &fields, "disk");
        let node = read_named(reader, &fields, "node");
        let conditions = DiskConditions::read(reader, &fields);
        if let Some(node) = node {
            disks.push(DiskSettings { node, conditions });
        }
    }
    disks
}

impl Weather {
    pub(super) const KEYS: [&str; 10] = [
        "latency",
        "loss",
        "reorder",
        "duplicate",
        "duplicate_latency",
        "corruption",
        "reset",
        "bursts",
        "bandwidth",
        "queue",
    ];

    pub(super) fn read(reader: &mut Reader, fields: &Fields<'_, '_>) -> Weather {
        Weather {
            latency: fields.get("latency").and_then(|value| reader.latency("latency", value)),
            loss: fields.get("loss").and_then(|value| reader.share("loss", value)),
            reorder: fields.get("reorder").and_then(|value| reader.share("reorder", value)),
            duplicate: fields.get("duplicate").and_then(|value| reader.share("duplicate", value)),
            duplicate_latency: fields
                .get("duplicate_latency")
                .and_then(|value| reader.latency("duplicate_latency", value)),
            duplicate_latency_span: fields.get("duplicate_latency").map(Value::span),
            corruption: fields.get("corruption").and_then(|value| reader.share("corruption", value)),
            reset: fields.get("reset").and_then(|value| reader.share("reset", value)),
            bursts: fields.get("bursts").and_then(|value| reader.bursts("bursts", value)),
            queues: Queues::read(reader, fields),
        }
    }

    pub(super) fn apply(&self, link: &mut Link<'_>) {
        if let Some(latency) = &self.latency {
            link.latency(latency.clone());
        }
        if let Some(loss) = self.loss {
            link.loss(loss);
        }
        if let Some(reorder) = self.reorder {
            link.reorder(reorder);
        }
        if let Some(duplicate) = self.duplicate {
            link.duplicate(duplicate);
        }
        if let Some(latency) = &self.duplicate_latency {
            link.duplicate_latency(latency.clone());
        }
        if let Some(corruption) = self.corruption {
            link.corruption(corruption);
        }
        if let Some(reset) = self.reset {
            link.reset(reset);
        }
        if let Some(bits_per_second) = self.queues.bandwidth_bits_per_second {
            link.bandwidth_bits_per_second(bits_per_second);
        }
        if let Some(bytes) = self.queues.queue_bytes {
            link.queue_bytes(bytes);
        }
        if let Some(bursts) = self.bursts {
            link.bursts(bursts);
        }
    }
}

impl Settings {
    /// A thread can't be given less memory than the others.
    pub(super) fn refuse_memory_limit(&self, reader: &mut Reader) {
        if let Some(span) = &self.limit_memory_span {
            reader.note(
                Draft::new(span.clone(), "`limit.memory`: only a process of its own can be limited")
                    .label("expected isolation = \"process\" (or \"auto\") beside it"),
            );
        }
    }

    /// `None` if something that the rest depends on can't be read; a mistake was noted then.
    pub(super) fn read(reader: &mut Reader, top: &Fields<'_, '_>) -> Option<Settings> {
        let noted_before = reader.drafts.len();
        let limit = reader.table(top, "limit", "`limit`", &["virtual", "events", "memory"]);
        let limit_value = limit.as_ref().and_then(|limit| limit.get("virtual"));
        let limit_time =
            limit_value.and_then(|value| reader.positive_duration("limit.virtual", "nothing would run", value));
        let limit_events = limit.as_ref().and_then(|limit| limit.get("events"));
        let limit_events = limit_events.and_then(|value| reader.count("limit.events", 1..=i64::MAX as u64, value));
        let limit_memory = limit.as_ref().and_then(|limit| limit.get("memory"));
        let limit_memory_bytes = limit_memory.and_then(|value| read_memory(reader, value));
        let end = reader.table(top, "end", "`end`", &["at"]);
        let end_value = end.as_ref().and_then(|end| {
            if end.get("at").is_none() {
                reader.missing(end, "at", "a duration such as \"30s\"");
            }
            end.get("at")
        });
        let end_at = end_value.and_then(|value| reader.positive_duration("end.at", "nothing would run", value));
        let counts = read_counts(reader, top);
        let clock = reader.table(top, "clock", "[clock]", &["epoch"]);
        let epoch_ns = clock.as_ref().and_then(|clock| clock.get("epoch")).and_then(|value| read_epoch(reader, value));
        let network = reader.table(top, "network", "[network]", &Weather::KEYS);
        let network = network.map(|fields| Weather::read(reader, &fields)).unwrap_or_default();
        let links = read_links(reader, top);
        let uplinks = read_uplinks(reader, top);
        let loopback = reader.table(top, "loopback", "[loopback]", &["latency"]).and_then(|fields| {
            let Some(value) = fields.get("latency") else {
                reader.missing(&fields, "latency", "how long what a node sends to itself takes, such as \"50us\"");
                return None;
            };
            reader.latency("latency", value)
        });
        let tcp = read_tcp(reader, top);
        let storage = reader.table(top, "storage", "[storage]", &DiskConditions::KEYS);
        let storage = storage.map(|fields| DiskConditions::read(reader, &fields)).unwrap_or_default();
        let disks = read_disks(reader, top);
        let faults = read_faults(reader, top);
        let rules = read_rules(reader, top);
        let (claims, unreached) = read_check(reader, top);
        let heal = read_heal(reader, top);
        let swarm = top.get("swarm").and_then(|value| reader.boolean("swarm", value));
        let buggify = read_buggify(reader, top);
        let knobs = read_knobs(reader, top);
        let budgets = read_budgets(reader, top);
        if let (Some(end), Some(limit)) = (end_at, limit_time)
            && end > limit
            && let (Some(end), Some(limit)) = (end_value, limit_value)
        {
            reader.note(
                Draft::new(end.span(), "the run is given up before its end: `end.at` is beyond `limit.virtual`")
                    .label("expected at most the limit")
                    .also(limit.span(), "the limit"),
            );
        }
        // Names of nodes can still be checked where only a number is wrong, but not where parts are missing: then each
        // mistake would be told again as another.
        let is_whole = reader.drafts.len() == noted_before;
        is_whole.then(|| Settings {
            counts,
            limit_ns: limit_time.map(nanoseconds),
            limit_span: limit_value.map(Value::span),
            limit_events,
            limit_memory_bytes,
            limit_memory_span: limit_memory.map(Value::span),
            end: end_at,
            end_span: end_value.map(Value::span),
            epoch_ns,
            network,
            links,
            uplinks,
            loopback,
            tcp,
            storage,
            disks,
            faults,
            rules,
            heal,
            swarm,
            buggify,
            knobs,
            budgets,
            claims,
            unreached,
        })
    }

    /// The weather that it tells of, each with the patterns of those who send what passes it.
    fn weathers(&self) -> impl Iterator<Item = (Vec<&str>, &Weather)> {
        let links = self.links.iter().chain(self.faults.iter().filter_map(|fault| fault.link.as_ref()));
        std::iter::once((vec!["*"], &self.network)).chain(links.map(|link| (link.senders(), &link.weather)))
    }

    /// A queue in which nothing ever waits is a mistake, and so is the latency of copies that are never made.
    pub(super) fn check_effects(&self, reader: &mut Reader, world: &World, node_names: &[String]) {
        let of_uplinks = self.uplinks.iter().map(|uplink| (vec![uplink.node.name.as_str()], &uplink.queues));
        let queues: Vec<(Vec<&str>, &Queues)> =
            self.weathers().map(|(senders, weather)| (senders, &weather.queues)).chain(of_uplinks).collect();
        let sends = |senders: &[&str], node: &str| senders.iter().any(|sender| matches(sender, node));
        let is_limited = |node: &str| {
            let in_file = |(senders, queues): &(Vec<&str>, &Queues)| {
                queues.bandwidth_bits_per_second.is_some() && sends(senders, node)
            };
            world.limits_bandwidth_of(node) || queues.iter().any(in_file)
        };
        for (senders, queue) in &queues {
            let Some(span) = &queue.queue_span else { continue };
            if !node_names.iter().any(|node| sends(senders, node) && is_limited(node)) {
                let message =
                    "`queue`: nothing ever waits there, as no link and no uplink of the sender has a `bandwidth`";
                reader.note(Draft::new(span.clone(), message).label("expected a bandwidth, here or elsewhere"));
            }
        }
        if world.duplicates() || self.weathers().any(|(_, weather)| weather.duplicate.is_some()) {
            return;
        }
        for span in self.weathers().filter_map(|(_, weather)| weather.duplicate_latency_span.clone()) {
            let message = "`duplicate_latency`: nothing arrives twice, as no link has a share of `duplicate`";
            reader.note(Draft::new(span, message).label("expected `duplicate`, here or elsewhere"));
        }
    }

    /// What the program must find when it describes its world.
    pub(super) fn before(&self, world: &mut World) {
        for count in &self.counts {
            world.set_count(&count.role, count.count);
        }
    }

    /// When the run ends.
    pub(super) fn times(&self, world: &mut World) {
        if let Some(limit_ns) = self.limit_ns {
            world.limits().virtual_ns = limit_ns;
        }
        if let Some(end) = self.end {
            world.end_at(end);
        }
    }

    /// What the file says over the program.
    pub(super) fn after(&self, world: &mut World) {
        self.times(world);
        if let Some(events) = self.limit_events {
            world.limits().events = events;
        }
        if let Some(epoch_ns) = self.epoch_ns {
            world.clock().epoch_ns = epoch_ns;
        }
        self.network.apply(&mut world.network());
        for LinkSettings { from, to, both_ways, weather } in &self.links {
            let (from, to) = (from.name.as_str(), to.name.as_str());
            weather.apply(&mut if *both_ways { world.link(from, to) } else { world.link_one_way(from, to) });
        }
        for UplinkSettings { node, queues } in &self.uplinks {
            let mut uplink = world.uplink(node.name.as_str());
            if let Some(bits_per_second) = queues.bandwidth_bits_per_second {
                uplink.bandwidth_bits_per_second(bits_per_second);
            }
            if let Some(bytes) = queues.queue_bytes {
                uplink.queue_bytes(bytes);
            }
        }
        if let Some(latency) = &self.loopback {
            world.loopback().latency(latency.clone());
        }
        if let Some(tcp) = &self.tcp {
            world.tcp(tcp.clone());
        }
        self.storage.apply(world.storage());
        for DiskSettings { node, conditions } in &self.disks {
            conditions.apply(world.disk(node.name.as_str()));
        }
        for fault in &self.faults {
            world.fault(fault.fault().clone());
        }
        for rule in &self.rules {
            world.rule(rule.rule.clone());
        }
        if let Some(heal) = &self.heal {
            heal.apply(world);
        }
        if let Some(swarm) = self.swarm {
            world.swarm(swarm);
        }
        let BuggifySettings { enabled, share, knobs } = self.buggify;
        for (said, set) in [
            (enabled, Buggify::enabled as fn(&mut Buggify, Ratio) -> &mut Buggify),
            (share, Buggify::share),
            (knobs, Buggify::knobs),
        ] {
            if let Some(said) = said {
                set(world.buggify(), said);
            }
        }
        for (name, value) in &self.knobs {
            world.fix_knob(name, *value);
        }
        for budget in &self.budgets {
            world.push_budget(budget.budget.clone());
        }
        for (_, claim, _) in &self.claims {
            world.check(claimed(*claim));
        }
    }
}

fn read_heal(reader: &mut Reader, top: &Fields<'_, '_>) -> Option<HealSettings> {
    let heal = reader.table(top, "heal", "[heal]", &["at", "core", "within"])?;
    let within = heal.get("within");
    let within = within.and_then(|value| reader.positive_duration("heal.within", "nobody could get on", value));
    let core = heal.get("core").and_then(|value| {
        let names = reader.texts("heal.core", "names of nodes", value)?;
        if names.is_empty() {
            let mistake = Draft::new(value.span(), "`heal.core` names no node, so nothing would be healed".to_string());
            reader.note(mistake.label("expected a name; without `core` all nodes are healed"));
            return None;
        }
        Some(names.into_iter().map(|(name, span)| NamePlace { name: name.to_string(), span }).collect())
    });
    let Some(at) = heal.get("at") else {
        reader.missing(&heal, "at", "a duration such as \"20s\"");
        return None;
    };
    let at_span = at.span();
    let at = reader.duration("heal.at", at)?;
    Some(HealSettings { at, at_span, core, within, span: top.key_span("heal") })
}

fn read_buggify(reader: &mut Reader, top: &Fields<'_, '_>) -> BuggifySettings {
    const KEYS: [&str; 3] = ["enabled", "share", "knobs"];
    let Some(fields) = reader.table(top, "buggify", "[buggify]", &KEYS) else { return BuggifySettings::default() };
    let mut share = |key: &str| fields.get(key).and_then(|value| reader.share(&format!("buggify.{key}"), value));
    BuggifySettings { enabled: share("enabled"), share: share("share"), knobs: share("knobs") }
}

/// The values that knobs have in every run. Of which type they are is known when a program reads one.
fn read_knobs(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<(String, Fixed)> {
    const EXPECTED: &str = "a whole number, true or false, or a duration such as \"5ms\"";
    let known = knob::names();
    let Some(fields) = reader.table(top, "knobs", "[knobs]", &known) else { return Vec::new() };
    let mut knobs = Vec::new();
    for (name, _, value) in fields.entries() {
        let key = format!("knobs.{}", shortened(name));
        let fixed = match value.get_ref() {
            DeValue::Boolean(boolean) => Some(Fixed::Boolean(*boolean)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(i128::from)
                .or_else(|_| u64::from_str_radix(number.as_str(), number.radix()).map(i128::from))
                .ok()
                .map(Fixed::Integer),
            DeValue::String(_) => match reader.duration(&key, value) {
                Some(duration) => Some(Fixed::Duration(duration)),
                // It was noted.
                None => continue,
            },
            _ => None,
        };
        match fixed {
            Some(fixed) => knobs.push((name.to_string(), fixed)),
            None => reader.bad_type(&key, EXPECTED, value),
        }
    }
    knobs
}

fn read_budgets(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<BudgetSettings> {
    const LIMITS: [&str; 3] = ["crashed", "paused", "partitions"];
    let mut names = GivenNames::default();
    let mut budgets = Vec::new();
    for (table, span) in reader.tables(top, "budget") {
        let fields =
            reader.fields(table, span.clone(), "[[budget]]", &["of", "crashed", "paused", "partitions", "name"]);
        names.read(reader, &fields, "budget");
        let noted = reader.drafts.len();
        let of = match fields.get("of") {
            None => Vec::new(),
            Some(value) => match reader.texts("of", "the names of nodes, or patterns such as \"store-*\"", value) {
                Some(texts) if texts.is_empty() => {
                    let draft = Draft::new(value.span(), "`of`: a budget of no node");
                    reader.note(draft.label("expected a node; without `of` it is of all"));
                    continue;
                }
                Some(texts) => {
                    texts.into_iter().map(|(name, span)| NamePlace { name: name.to_string(), span }).collect()
                }
                None => continue,
            },
        };
        let mut budget = match of.is_empty() {
            true => Budget::new("*"),
            false => Budget::new(of.iter().map(|place: &NamePlace| place.name.clone()).collect::<Vec<_>>()),
        };
        if let Some(most) = fields.get("crashed").and_then(|value| read_at_most(reader, "crashed", value)) {
            budget.crashed(most);
        }
        if let Some(most) = fields.get("paused").and_then(|value| read_at_most(reader, "paused", value)) {
            budget.paused(most);
        }
        if let Some(value) = fields.get("partitions")
            && let Some(most) = reader.count("partitions", 0..=COUNT_MAX, value)
        {
            budget.partitions(most as u32);
        }
        if LIMITS.iter().all(|key| fields.get(key).is_none()) {
            reader.missing(&fields, "crashed", "what is limited: `crashed`, `paused` or `partitions`");
        } else if fields.get("of").is_some() && ["crashed", "paused"].iter().all(|key| fields.get(key).is_none()) {
            let message = "partitions are counted whatever nodes they are of: a budget of those alone has no `of`";
            reader.note(Draft::new(fields.key_span("of"), message).label("leave it out"));
        }
        if reader.drafts.len() == noted {
            budgets.push(BudgetSettings { budget, of, span });
        }
    }
    budgets
}

/// So many nodes, or fewer than half of them.
fn read_at_most(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<AtMost> {
    match value.get_ref() {
        DeValue::Integer(_) => reader.count(key, 0..=COUNT_MAX, value).map(|most| AtMost::Nodes(most as u32)),
        DeValue::String(text) if text.as_ref() == "minority" => Some(AtMost::Minority),
        _ => {
            reader.bad_type(key, &format!("a whole number from 0 to {COUNT_MAX}, or \"minority\""), value);
            None
        }
    }
}

/// A key of `[check]`, what it claims, and where.
type PlacedClaim = (&'static str, Claim, Range<usize>);

/// A key of `[check]` that claims something, what its value names, and what there is of those.
type ClaimKey = (&'static str, &'static str, Vec<(&'static str, Claim)>);

/// All of them.
pub(super) fn claims() -> [ClaimKey; 3] {
    [
        ("linearizable", "model", Named::ALL.map(|model| (model.name(), Claim::Linearizable(model))).to_vec()),
        ("transactions", "level", Level::ALL.map(|level| (level.name(), Claim::Transactions(level))).to_vec()),
        ("session", "guarantee", Guarantee::ALL.map(|one| (one.name(), Claim::Session(one))).to_vec()),
    ]
}

/// What histories are claimed to be, and the goals that are left out.
fn read_check(reader: &mut Reader, top: &Fields<'_, '_>) -> (Vec<PlacedClaim>, Vec<NamePlace>) {
    let kinds = claims();
    let mut claims = Vec::new();
    let [claim, transactions, session] = kinds.each_ref().map(|(key, _, _)| *key);
    let Some(check) = reader.table(top, "check", "[check]", &[claim, transactions, session, "unreached"]) else {
        return (claims, Vec::new());
    };
    let unreached = check.get("unreached").and_then(|value| reader.texts("check.unreached", "names of goals", value));
    let unreached = unreached
        .unwrap_or_default()
        .into_iter()
        .map(|(name, span)| NamePlace { name: name.to_string(), span })
        .collect();
    for (key, what, all) in kinds {
        let Some(value) = check.get(key) else { continue };
        let Some(said) = reader.text(&format!("check.{key}"), &format!("the name of a {what}"), value) else {
            continue;
        };
        if let Some((_, claim)) = all.iter().find(|(name, _)| *name == said) {
            claims.push((key, *claim, value.span()));
            continue;
        }
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let message = format!("`check.{key}`: there is no {what} {said:?}; there are {}", names.join(", "));
        reader.note(Draft::new(value.span(), message).label(format!("not a {what}")).meant(nearest(said, names)));
    }
    (claims, unreached)
}

pub(super) fn read_seeds(reader: &mut Reader, value: &Value<'_>) -> Option<SeedRange> {
    let text = reader.text("seeds", "a range of seeds such as \"0..1000\" (the end is left out)", value)?;
    match SeedRange::parse(text) {
        Ok(seeds) if seeds.is_empty() => {
            reader.note(
                Draft::new(value.span(), format!("`seeds`: the range {text:?} is empty: nothing would run"))
                    .label("expected at least one seed")
                    .help("the end is left out: \"5..6\" is the seed 5"),
            );
            None
        }
        Ok(seeds) => Some(seeds),
        Err(bad) => {
            let draft = Draft::new(value.span(), format!("`seeds`: {}", bad.message)).label("here");
            reader.note(draft.meant(bad.suggestion.map(|suggestion| format!("{suggestion:?}")).as_deref()));
            None
        }
    }
}

pub(super) fn read_isolation(reader: &mut Reader, value: &Value<'_>) -> Option<Isolation> {
    let name = reader.text("isolation", "\"thread\", \"process\" or \"auto\"", value)?;
    match name.parse() {
        Ok(isolation) => Some(isolation),
        Err(_) => {
            let message =
                format!("`isolation`: expected \"thread\", \"process\" or \"auto\", found {:?}", shortened(name));
            let meant = nearest(name, Isolation::NAMES).map(|name| format!("{name:?}"));
            reader.note(Draft::new(value.span(), message).label("not known here").meant(meant.as_deref()));
            None
        }
    }
}

/// The least memory that a process of a run may be given: less, and it couldn't start.
const MEMORY_BYTES_LEAST: u64 = 64 << 20;

fn read_memory(reader: &mut Reader, value: &Value<'_>) -> Option<u64> {
    let text = reader.text("limit.memory", "an amount of memory such as \"512MiB\"", value)?;
    match super::units::parse_bytes("an amount of memory", text) {
        Ok(bytes) if bytes < MEMORY_BYTES_LEAST => {
            reader.note(
                Draft::new(value.span(), "`limit.memory`: no process can run with so little")
                    .label("expected at least 64MiB"),
            );
            None
        }
        Ok(bytes) => Some(bytes),
        Err(message) => {
            reader.note(Draft::new(value.span(), format!("`limit.memory`: {message}")).label("here"));
            None
        }
    }
}

fn read_counts(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<CountSetting> {
    let Some(value) = top.get("nodes") else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        // Notes the wrong type.
        reader.table(top, "nodes", "[nodes]", &[]);
        return Vec::new();
    };
    let mut counts = Vec::new();
    for (key, value) in table.iter() {
        let role = key.get_ref().to_string();
        if let Some(count) = reader.count(&format!("nodes.{}", shortened(&role)), 0..=COUNT_MAX, value) {
            counts.push(CountSetting { role, count: count as u32, key_span: key.span(), span: value.span() });
        }
    }
    counts
}

fn read_epoch(reader: &mut Reader, value: &Value<'_>) -> Option<u64> {
    const EXPECTED: &str = "a moment such as \"2026-01-01T00:00:00Z\"";
    let moment = match value.get_ref() {
        DeValue::Datetime(moment) => *moment,
        _ => {
            let text = reader.text("clock.epoch", EXPECTED, value)?;
            match text.parse::<Datetime>() {
                Ok(moment) => moment,
                Err(_) => {
                    let message = format!("`clock.epoch`: expected {EXPECTED}, found {:?}", shortened(text));
                    reader.note(Draft::new(value.span(), message).label("not a moment"));
                    return None;
                }
            }
        }
    };
    match epoch_ns(&moment) {
        Ok(epoch_ns) => Some(epoch_ns),
        Err(bad) => {
            reader.note(Draft::new(value.span(), format!("`clock.epoch`: {}", bad.message)).label("here"));
            None
        }
    }
}

/// The names that links (or disks, or faults) were given, each once: `--set` and saved failures find them by it.
#[derive(Default)]
pub(super) struct GivenNames {
    known: BTreeMap<String, Range<usize>>,
}

impl GivenNames {
    pub(super) fn read(&mut self, reader: &mut Reader, fields: &Fields<'_, '_>, kind: &str) -> Option<String> {
        let value = fields.get("name")?;
        let name = reader.text("name", "a name", value)?;
        if name.trim().is_empty() || name.contains(['.', '=', '\n']) || name.len() > 200 {
            let message = format!("`name`: expected a short name without . and =, found {:?}", shortened(name));
            reader.note(Draft::new(value.span(), message).label("not a name"));
            return None;
        }
        if let Some(first) = self.known.insert(name.to_string(), value.span()) {
            reader.note(
                Draft::new(value.span(), format!("two {kind}s are named {name:?}"))
                    .label("again here")
                    .also(first, "first here"),
            );
        }
        Some(name.to_string())
    }
}

fn read_links(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<LinkSettings> {
    let keys = [&["from", "to", "both_ways", "one_way", "name"][..], &Weather::KEYS].concat();
    let mut names = GivenNames::default();
    let mut links = Vec::new();
    for (table, span) in reader.tables(top, "link") {
        let fields = reader.fields(table, span, "[[link]]", &keys);
        names.read(reader, &fields, "link");
        let ends = read_ends(reader, &fields);
        let both_ways = read_ways(reader, &fields);
        let weather = Weather::read(reader, &fields);
        if let Some((from, to)) = ends {
            links.push(LinkSettings { from, to, both_ways, weather });
        }
    }
    links
}

/// Both ends of a link.
pub(super) fn read_ends(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<(NamePlace, NamePlace)> {
    let (from, to) = (read_named(reader, fields, "from"), read_named(reader, fields, "to"));
    from.zip(to)
}

/// The node that a key names, or a pattern of some.
fn read_named(reader: &mut Reader, fields: &Fields<'_, '_>, key: &str) -> Option<NamePlace> {
    const EXPECTED: &str = "the name of a node, or a pattern such as \"client-*\"";
    let Some(value) = fields.get(key) else {
        reader.missing(fields, key, EXPECTED);
        return None;
    };
    let name = reader.text(key, EXPECTED, value)?;
    Some(NamePlace { name: name.to_string(), span: value.span() })
}

/// Whether a link is both ways: `both_ways`, or the opposite of `one_way`.
pub(super) fn read_ways(reader: &mut Reader, fields: &Fields<'_, '_>) -> bool {
    let both_ways = fields.get("both_ways").and_then(|value| reader.boolean("both_ways", value));
    let one_way = fields.get("one_way").and_then(|value| reader.boolean("one_way", value));
    if let (Some(both_ways), Some(one_way)) = (both_ways, one_way)
        && both_ways == one_way
    {
        let message = "a link is one way or both ways: `one_way` and `both_ways` disagree";
        let draft = Draft::new(fields.key_span("one_way"), message).label("this one");
        reader.note(draft.also(fields.key_span("both_ways"), "and this one"));
    }
    both_ways.or(one_way.map(|one_way| !one_way)).unwrap_or(false)
}
