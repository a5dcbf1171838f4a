//! Statics of which each node has a value of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::OnceLock;

use squall_trace::NodeId;

use crate::kernel::{self, Kernel};

/// A static of which each node of a run has a value of its own: what `squall::node_local!` declares.
///
/// In a run there is a value for each node and each boot of it. It is made when it is first asked for, and dropped when the node crashes, after its tasks, or at the
/// run's end; the node's values go in the opposite order of their making, and nothing that their destructors do counts.
///
/// Outside of a run, in production, there is one value for the process, which is never dropped: so the type is one that a static can have. While a world is described
/// no node is there yet, and what is asked for is the process's.
pub struct NodeLocal<T: 'static> {
    init: fn() -> T,
    of_process: OnceLock<T>,
}

impl<T> NodeLocal<T> {
    /// A static whose values `init` makes.
    #[must_use]
    pub const fn new(init: fn() -> T) -> NodeLocal<T> {
        NodeLocal { init, of_process: OnceLock::new() }
    }

    /// Gives the running node's value to `act`, or that of the process outside of a run.
    ///
    /// # Panics
    /// In a run where no node's code runs: in a property. On a thread of tokio's `spawn_blocking`, which isn't the run's. In a destructor of a node's value, if it asks for
    /// one that is gone or never was.
    #[track_caller]
    pub fn with<R>(&'static self, act: impl FnOnce(&T) -> R) -> R {
        if kernel::is_on() || squall_hermetic::is_stepped_thread() {
            act(&*self.of_node())
        } else {
            act(self.of_process.get_or_init(self.init))
        }
    }

    #[track_caller]
    fn of_node(&'static self) -> Rc<T> {
        // It is only compared.
        let key = std::ptr::from_ref(self).addr();
        let found = kernel::with("NodeLocal::with", |kernel| kernel.find_node_local(key));
        let value = match found {
            Found::Value(value) => value,
            Found::Nothing => {
                // The program's: before the world is borrowed.
                let value: Rc<dyn Any> = Rc::new((self.init)());
                kernel::with("NodeLocal::with", |kernel| kernel.keep_node_local(key, value))
            }
            Found::NoNode => panic!(
                "a node_local! was asked for where no node's code runs: a property has none; let the node publish what is to be judged (squall::publish)"
            ),
            Found::Gone => panic!(
                "a node_local! was asked for while the node's values are dropped, and it is gone or never was there: no new one is made then"
            ),
        };
        value.downcast().expect("a key is the address of one static, which is of one type")
    }
}

impl<T: fmt::Debug> fmt::Debug for NodeLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeLocal").field("of_process", &self.of_process).finish_non_exhaustive()
    }
}

/// A value, by the address of its static.
type Kept = (usize, Rc<dyn Any>);

/// The values of a run's nodes.
#[derive(Default)]
pub(crate) struct NodeLocals {
    /// In the order of their making.
    of_nodes: BTreeMap<NodeId, Vec<Kept>>,
    /// Whether a node's values are being dropped.
    is_dropping: bool,
}

enum Found {
    Value(Rc<dyn Any>),
    Nothing,
    NoNode,
    Gone,
}

impl Kernel {
    fn find_node_local(&self, key: usize) -> Found {
        let node = self.current.node;
        let values = self.node_locals.of_nodes.get(&node);
        let known = values.and_then(|values| values.iter().find(|(other, _)| *other == key));
        match known {
            Some((_, value)) => Found::Value(Rc::clone(value)),
            None if node == NodeId::WORLD => Found::NoNode,
            None if self.node_locals.is_dropping => Found::Gone,
            None => Found::Nothing,
        }
    }

    /// The value that is kept: the one that the making of this one has made meanwhile, if it did.
    fn keep_node_local(&mut self, key: usize, value: Rc<dyn Any>) -> Rc<dyn Any> {
        let values = self.node_locals.of_nodes.entry(self.current.node).or_default();
        if let Some((_, known)) = values.iter().find(|(other, _)| *other == key) {
            return Rc::clone(known);
        }
        values.push((key, Rc::clone(&value)));
        value
    }

    /// The nodes that have values.
    pub(crate) fn nodes_with_locals(&self) -> Vec<NodeId> {
        self.node_locals.of_nodes.keys().copied().collect()
    }
}

/// Drops a node's values, as its code that doesn't count any more.
pub(crate) fn drop_all_of(node: NodeId) {
    loop {
        let last = kernel::with("the run loop", |kernel| {
            let last = kernel.node_locals.of_nodes.get_mut(&node).and_then(Vec::pop);
            kernel.node_locals.is_dropping = last.is_some();
            if last.is_some() {
                kernel.enter_dropped(node)
            } else {
                kernel.leave_dropped()
            }
            last
        });
        let Some((_, value)) = last else { return };
        kernel::call(move || drop(value));
    }
}
