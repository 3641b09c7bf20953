mod interleavings;
mod rules;
mod simulation;
