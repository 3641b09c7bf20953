//! Runs the application's worker processes: start, probe, replace, stop.
