//! The `squall` binary: runs the scenarios of this repository.

squall::main!(squall_scenarios::programs());
