//! Code that blocks, in a node: on a stack of its own, which is left where the code waits and entered again when that has come.
//!
//! A task that stood still would stop the run, and the run would stop what the task waits for. So what calls [`block_on`] is given to [`on_own_stack`]: it goes on within the polls of one
//! task, on the run's thread, and sees the node's clocks, tasks and randomness as any task does. Futures that are blocked on needn't be `Send`, and may borrow.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use generator::{Generator, Gn};

/// How large such a stack is, in words: as that of a thread of std's.
const STACK_WORDS: usize = (2 << 20) / size_of::<usize>();

thread_local! {
    /// Of the task whose stack is entered.
    static TASK: RefCell<Option<Waker>> = const { RefCell::new(None) };
    /// The stack that is entered is to be unwound.
    static IS_LEFT_FOR_GOOD: Cell<bool> = const { Cell::new(false) };
}

/// A stack is entered until this is dropped, as it is also where the stack unwinds.
struct Entered(Option<Waker>);

impl Drop for Entered {
    fn drop(&mut self) {
        TASK.set(self.0.take());
    }
}

/// Calls `work`, which may [`block_on`] futures. What it panics with is the task's panic.
///
/// Dropped before `work` has returned, as when its node crashes, it unwinds the stack.
pub async fn on_own_stack(work: impl FnOnce() + Send + 'static) {
    let work = || {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(work))
            && !payload.is::<LeftForGood>()
        {
            resume_unwind(payload);
        }
    };
    let mut stack = Stack { generator: Gn::<()>::new_opt(STACK_WORDS, work), has_begun: false };
    poll_fn(|context| {
        let entered = Entered(TASK.replace(Some(context.waker().clone())));
        stack.has_begun = true;
        stack.generator.resume();
        drop(entered);
        if stack.generator.is_done() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// What a stack is unwound with that nobody enters again.
struct LeftForGood;

struct Stack {
    generator: Generator<'static, (), ()>,
    has_begun: bool,
}

impl Drop for Stack {
    /// Unwinds it by itself: generator would take the panic hook away meanwhile, which is the process's, and so that of all other runs.
    fn drop(&mut self) {
        if self.has_begun && !self.generator.is_done() {
            IS_LEFT_FOR_GOOD.set(true);
            self.generator.resume();
            IS_LEFT_FOR_GOOD.set(false);
        }
    }
}

/// Waits for a future, while the rest of the run goes on.
///
/// # Panics
/// Elsewhere than in what [`on_own_stack`] calls.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let task =
            TASK.with_borrow(Clone::clone).expect("a task can't block: give what does to blocking::on_own_stack");
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&task)) {
            return output;
        }
        leave_stack();
        if IS_LEFT_FOR_GOOD.get() {
            // No panic: no hook is called.
            resume_unwind(Box::new(LeftForGood));
        }
    }
}

/// Returns to the task's poll, until it is polled again.
#[expect(deprecated, reason = "what took its place wants a handle, which a trait's block_on isn't given")]
fn leave_stack() {
    generator::yield_with(());
}
