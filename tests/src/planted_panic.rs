//! A panic at a place that doesn't move: where a panic happened is part of a run's digest, and of golden ones.

/// Panics, always at this line.
///
/// # Panics
/// Always.
pub fn boom() {
    panic!("a planted panic");
}
