//! Programs: the Rust that a scenario file names.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use squall_engine::World;
use squall_trace::Digest;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::mistake::Draft;
use super::reader::{Reader, shortened};
use crate::engine::Engine;

/// A world with a program's arguments filled in.
pub(super) type Built = Arc<dyn Fn(&mut World) + Send + Sync>;

/// Reads `[args]` (the table and its place) and fills them in; `None` if a mistake was noted.
type Prepare = dyn for<'i> Fn(&mut Reader, DeTable<'i>, Range<usize>) -> Option<Built> + Send + Sync;

/// A scenario's program: ordinary Rust that describes a world.
///
/// # Examples
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use squall::World;
/// use squall::scenario::Program;
///
/// #[derive(Serialize, Deserialize)]
/// struct Args {
///     attempts: u32,
/// }
///
/// impl Default for Args {
///     fn default() -> Args {
///         Args { attempts: 3 }
///     }
/// }
///
/// fn world(world: &mut World, args: &Args) {
///     let attempts = args.attempts;
///     world.clients("client", 1, move |_| async move {
///         for _ in 0..attempts { /* ... */ }
///     });
/// }
///
/// let program = Program::new("example", "Tries a few times", world);
/// assert_eq!(program.name, "example");
/// ```
#[derive(Clone)]
pub struct Program {
    /// What scenario files call it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    build: Option<Digest>,
    engine: Option<Arc<dyn Engine>>,
    module: Option<&'static str>,
    prepare: Arc<Prepare>,
}

/// The arguments of a program that takes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoArgs {}

impl Program {
    /// A program with arguments of type `A`: a scenario file's `[args]`, checked against `A`'s fields. What the file
    /// leaves out is as in `A::default()`.
    pub fn new<A>(
        name: &'static str,
        about: &'static str,
        build: impl Fn(&mut World, &A) + Send + Sync + 'static,
    ) -> Program
    where
        A: DeserializeOwned + Serialize + Default + Send + Sync + 'static,
    {
        let build = Arc::new(build);
        let prepare = move |reader: &mut Reader, table: DeTable<'_>, span: Range<usize>| {
            let args: A = read_args(reader, table, span)?;
            let build = Arc::clone(&build);
            let built: Built = Arc::new(move |world: &mut World| build(world, &args));
            Some(built)
        };
        Program { name, about, build: None, engine: None, module: None, prepare: Arc::new(prepare) }
    }

    /// The same, known to be part of that build: a hash of lock file and sources, as [`build_identity!`](crate::build_identity) gives
    /// it. Failures that are saved say it, and shards of different builds aren't added up.
    #[must_use]
    pub fn of_build(mut self, build: Digest) -> Program {
        self.build = Some(build);
        self
    }

    /// The same, carried out by another engine than Squall's own. What that doesn't know is refused in its scenario files.
    #[must_use]
    pub fn run_by(mut self, engine: impl Engine + 'static) -> Program {
        self.engine = Some(Arc::new(engine));
        self
    }

    /// What carries it out in place of Squall's own engine.
    pub(super) fn engine(&self) -> Option<&Arc<dyn Engine>> {
        self.engine.as_ref()
    }

    /// The same, written in that module: `module_path!()`. The marks below it ([`reachable!`](crate::reachable)) are to be come by in this
    /// program's scenarios alone. Marks that stand below no program's module are to be come by in all.
    #[must_use]
    pub fn in_module(mut self, module: &'static str) -> Program {
        self.module = Some(module);
        self
    }

    /// How long the path of its module is, if the given one is that or below it.
    fn holds(&self, module: &str) -> Option<usize> {
        let own = self.module?;
        let rest = module.strip_prefix(own)?;
        (rest.is_empty() || rest.starts_with("::")).then_some(own.len())
    }

    /// Whether marks in that module are this program's, of all `programs`: where modules hold each other, the innermost counts.
    pub(super) fn has_marks_of(&self, module: &str, programs: &[Program]) -> bool {
        let innermost = programs.iter().filter_map(|program| program.holds(module)).max();
        self.holds(module) == innermost
    }

    pub(super) fn build(&self) -> Option<Digest> {
        self.build
    }

    pub(super) fn prepare(&self, reader: &mut Reader, table: DeTable<'_>, span: Range<usize>) -> Option<Built> {
        (self.prepare)(reader, table, span)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).field("about", &self.about).finish_non_exhaustive()
    }
}

fn read_args<A>(reader: &mut Reader, given: DeTable<'_>, span: Range<usize>) -> Option<A>
where
    A: DeserializeOwned + Serialize + Default,
{
    let noted_before = reader.drafts.len();
    let defaults = toml::to_string(&A::default()).unwrap_or_default();
    let defaults = DeTable::parse(&defaults).map(Spanned::into_inner).unwrap_or_default();
    let mut table = given;
    if let Some(known) = field_names::<A>() {
        reader.fields(&table, span.clone(), "[args]", known);
        // Noted already: not to be told twice.
        table = table.into_iter().filter(|(key, _)| known.contains(&key.get_ref().as_ref())).collect();
    }
    let keys: Vec<(String, Range<usize>)> =
        table.iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect();
    let key_spans = nested_key_spans(&table);
    for (key, value) in defaults.clone() {
        if !table.contains_key(key.get_ref().as_ref()) {
            table.insert(Spanned::new(span.clone(), key.into_inner()), Spanned::new(span.clone(), value.into_inner()));
        }
    }
    let deserializer = ValueDeserializer::from(Spanned::new(span.clone(), DeValue::Table(table)));
    let mut ignored = Vec::new();
    let args = serde_ignored::deserialize(deserializer, |path| ignored.push(path_segments(&path)));
    for path in ignored {
        note_ignored(reader, &path, &key_spans, &defaults, span.clone());
    }
    match args {
        Ok(args) => (reader.drafts.len() == noted_before).then_some(args),
        Err(error) => {
            let at = error.span().unwrap_or_else(|| span.clone());
            let key = keys.iter().find(|(_, value)| value.start <= at.start && at.end <= value.end);
            let name = key.map_or_else(|| "args".to_string(), |(key, _)| format!("args.{key}"));
            let message = in_words(error.message());
            reader.note(Draft::new(at, format!("`{name}`: {message}")).label("here"));
            None
        }
    }
}

/// The message of a serde error, with Rust's names of number types put in words.
fn in_words(message: &str) -> String {
    let bounds = [
        ("u8", 0, i128::from(u8::MAX)),
        ("u16", 0, i128::from(u16::MAX)),
        ("u32", 0, i128::from(u32::MAX)),
        ("u64", 0, i128::from(u64::MAX)),
        ("usize", 0, i128::from(u64::MAX)),
        ("i8", i128::from(i8::MIN), i128::from(i8::MAX)),
        ("i16", i128::from(i16::MIN), i128::from(i16::MAX)),
        ("i32", i128::from(i32::MIN), i128::from(i32::MAX)),
        ("i64", i128::from(i64::MIN), i128::from(i64::MAX)),
        ("isize", i128::from(i64::MIN), i128::from(i64::MAX)),
    ];
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_string() };
    let found = found.replace("invalid type: ", "").replace("invalid value: ", "");
    let expected = match bounds.iter().find(|(name, ..)| *name == expected) {
        Some((_, least, greatest)) => format!("a whole number from {least} to {greatest}"),
        None => expected.replace("a boolean", "true or false").replace("a string", "text"),
    };
    format!("expected {expected}, found {}", shortened(&found))
}

/// Where the keys of nested tables stand, by path: what serde ignores is told as a path only.
fn nested_key_spans(table: &DeTable<'_>) -> Vec<(Vec<String>, Range<usize>)> {
    fn walk(value: &DeValue<'_>, path: &mut Vec<String>, spans: &mut Vec<(Vec<String>, Range<usize>)>) {
        match value {
            DeValue::Table(table) => {
                for (key, value) in table.iter() {
                    path.push(key.get_ref().to_string());
                    spans.push((path.clone(), key.span()));
                    walk(value.get_ref(), path, spans);
                    path.pop();
                }
            }
            DeValue::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    path.push(index.to_string());
                    walk(value.get_ref(), path, spans);
                    path.pop();
                }
            }
            _ => {}
        }
    }
    let mut spans = Vec::new();
    for (key, value) in table.iter() {
        let mut path = vec![key.get_ref().to_string()];
        spans.push((path.clone(), key.span()));
        walk(value.get_ref(), &mut path, &mut spans);
    }
    spans
}

fn path_segments(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, segment) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut segments = path_segments(parent);
    segments.extend(segment);
    segments
}

fn note_ignored(
    reader: &mut Reader,
    path: &[String],
    key_spans: &[(Vec<String>, Range<usize>)],
    defaults: &DeTable<'_>,
    span: Range<usize>,
) {
    // What the defaults hold and serde ignores is the program's own doing.
    let Some((_, at)) = key_spans.iter().find(|(known, _)| known == path) else { return };
    let Some((key, parents)) = path.split_last() else { return };
    let mut table = Some(defaults);
    for parent in parents {
        table = table.and_then(|table| table.get(parent.as_str())).and_then(|value| value.get_ref().as_table());
    }
    let title = format!("[args.{}]", parents.join("."));
    match table {
        Some(table) => {
            let known: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
            reader.unknown_key(key, at.clone(), &title, &known);
        }
        None => {
            let at = if at.is_empty() { span } else { at.clone() };
            reader.note(Draft::new(at, format!("unknown key `{}` in {title}", shortened(key))).label("not known here"));
        }
    }
}

/// The names of a type's fields, if it is a struct.
fn field_names<A: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    let _ = A::deserialize(FieldProbe { names: &mut names });
    names
}

/// Asks a type for its fields, and gives it nothing.
struct FieldProbe<'p> {
    names: &'p mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.names = Some(fields);
        Err(serde::de::Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only asked"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Durations in a program's arguments, written as everywhere in a scenario file: `timeout = "150ms"`.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// #[derive(Serialize, Deserialize)]
/// struct Args {
///     #[serde(with = "squall::scenario::duration")]
///     timeout: Duration,
/// }
/// # assert_eq!(toml::from_str::<Args>("timeout = '150ms'").unwrap().timeout, Duration::from_millis(150));
/// ```
pub mod duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use crate::scenario::units::{format_duration, parse_duration};

    /// Writes it as text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads it from text.
    ///
    /// # Errors
    /// What isn't text, and what `parse_duration` refuses.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = Duration;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as \"5ms\" (units: ns, us, ms, s, m, h)")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
                parse_duration(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}
