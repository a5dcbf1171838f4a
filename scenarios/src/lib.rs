//! The scenarios of this repository and the squall binary that runs them.
