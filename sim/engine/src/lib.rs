//! The engine of Squall: a plan goes in, a trace comes out.
