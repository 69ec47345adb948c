//! A whole arbiter under clients that do anything, in any order, at any time.
//!
//! The input says which rules decide, and then what happens, step by step. After each step:
//!
//! - messages go only to connections that exist, and connections that the arbiter gives up end;
//! - a timeout that was handled does not ask to be handled again for ever;
//! - nothing is remembered beyond the clients that are there and a bounded number of leases;
//! - under the repaired rules, all nodes of an ffsplit cluster that may be casting the vote belong
//!   to one ring (safety spec, 3), see [`casting`].
#![no_main]

mod casting;
mod steps;
mod world;

use libfuzzer_sys::fuzz_target;
use steps::Input;
use world::World;

fuzz_target!(|input: Input| {
    let mut world = World::new(input.safe);
    for step in input.steps {
        world.perform(step);
        world.check();
    }
});
