//! A story: a healthy cluster, then one fault after the other.

use super::fault::Fault;
use super::member::millis;
use super::setup::Setup;
use super::state::State;
use super::world::{TooLong, World};
use crate::engine::lease::lease_time;
use crate::wire::NodeId;
use std::time::Duration;

/// At how many moments between two heartbeats every fault is tried.
const MOMENTS: u64 = 16;

/// So much later than a heartbeat a fault strikes, milliseconds: its answer has just arrived.
const JUST_AFTER: u64 = 20;

/// What came of one fault.
#[derive(Debug, Clone)]
pub struct Step {
    /// What happened.
    pub fault: Fault,
    /// What is so when everything has settled.
    pub state: State,
    /// What else may be so, if it depends on the moment at which the fault strikes.
    pub otherwise: Vec<State>,
    /// How long it took at most until then.
    pub settled_within: Duration,
    /// Nodes that ran and had quorum before and have it afterwards, but not all the time between.
    pub interrupted: Vec<NodeId>,
    /// Whether two parts had quorum at the same time, if only for a moment.
    pub had_conflict: bool,
}

/// What came of all faults.
#[derive(Debug, Clone)]
pub struct Story {
    /// The healthy cluster before the first of them.
    pub start: State,
    /// The faults.
    pub steps: Vec<Step>,
}

/// Runs the faults, one after the other; each has the time that it needs to settle.
///
/// # Errors
/// [`TooLong`], which only times that no real cluster has lead to.
pub fn run(setup: &Setup, faults: &[Fault]) -> Result<Story, TooLong> {
    let heartbeat = millis(setup.timing.heartbeat());
    let mut story: Option<Story> = None;
    for moment in 0..MOMENTS {
        let one = run_at(setup, faults, moment * heartbeat / MOMENTS + JUST_AFTER)?;
        match &mut story {
            None => story = Some(one),
            Some(story) => merge(story, one),
        }
    }
    story.map_or_else(|| run_at(setup, faults, JUST_AFTER), Ok)
}

/// Every fault strikes this many milliseconds after a multiple of the heartbeat interval.
fn run_at(setup: &Setup, faults: &[Fault], after: u64) -> Result<Story, TooLong> {
    let heartbeat = millis(setup.timing.heartbeat());
    // Longer than a lease, a change of membership and a reconnect, one after the other and twice.
    let lease = millis(lease_time(setup.timing.heartbeat()));
    let calm = 3 * lease + 2 * millis(setup.timing.sync_timeout + setup.membership_delay());
    let mut world = World::boot(setup, heartbeat / MOMENTS);
    world.run_until(calm)?;
    let start = world.look().state;
    let mut before = start.quorate();
    let mut steps = Vec::new();
    for fault in faults {
        let strikes_at = world.now().div_ceil(heartbeat) * heartbeat + after;
        world.run_until(strikes_at)?;
        world.look();
        world.strike(fault);
        world.run_until(strikes_at + calm)?;
        let seen = world.look();
        let after = seen.state.quorate();
        let mut interrupted = before;
        interrupted.retain(|node| {
            let restarted = *fault == Fault::Restart(*node);
            after.contains(node) && seen.stopped.contains(node) && !restarted
        });
        before = after;
        steps.push(Step {
            fault: fault.clone(),
            state: seen.state,
            otherwise: Vec::new(),
            settled_within: Duration::from_millis(seen.changed_at.saturating_sub(strikes_at)),
            interrupted,
            had_conflict: seen.conflict,
        });
    }
    Ok(Story { start, steps })
}

fn merge(story: &mut Story, other: Story) {
    for (step, one) in story.steps.iter_mut().zip(other.steps) {
        step.settled_within = step.settled_within.max(one.settled_within);
        step.had_conflict |= one.had_conflict;
        step.interrupted.extend(one.interrupted);
        step.interrupted.sort_unstable();
        step.interrupted.dedup();
        let known = one.state.counts_the_same(&step.state)
            || step
                .otherwise
                .iter()
                .any(|state| one.state.counts_the_same(state));
        if !known {
            step.otherwise.push(one.state);
        }
    }
}
