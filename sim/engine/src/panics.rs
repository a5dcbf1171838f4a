//! Where a panic happened: the panic hook sees it, the unwinding doesn't tell.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Stands for what a program panics with that is no text.
const NO_TEXT: &str = "a panic without a text";

/// What a program panics with, if that is a text.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or(NO_TEXT)
}

/// A panic's message with its place, if it has one.
pub(crate) fn text_at(text: &str, place: Option<&str>) -> String {
    match place {
        Some(place) => format!("{text}, at {place}"),
        None => text.to_string(),
    }
}

/// Puts a hook in front of the process's: a panic in node code is kept quiet (it is reported with its run), any other goes
/// to the hook that was there.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // What the hook itself does isn't the node's doing.
            let in_node = squall_hermetic::set_node_code(false);
            if in_node {
                let mut place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
                crate::host::see_panic(text_of(info.payload()), &mut place);
                let _ = PLACE.try_with(|slot| *slot.borrow_mut() = place);
            } else {
                previous(info);
            }
            squall_hermetic::set_node_code(in_node);
        }));
    });
}

/// Where the last panic of this thread happened, once.
pub(crate) fn take_place() -> Option<String> {
    PLACE.try_with(|slot| slot.borrow_mut().take()).ok().flatten()
}
