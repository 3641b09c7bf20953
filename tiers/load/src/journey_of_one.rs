//! A journey outside of a lane: one user, one step at a time.

use crate::{lane::Journey, plan::Plan, random::Dice, reply::Answer, tally::ErrorKind, template::Values};

/// Names and values that a step took from its answer.
pub type Extracted = Vec<(String, Vec<u8>)>;

pub struct JourneyOfOne<'p> {
    plan: &'p Plan,
    journey: Journey,
    dice: Dice,
}

impl<'p> JourneyOfOne<'p> {
    /// Begins the scenario of that number.
    pub fn new(plan: &'p Plan, scenario: usize) -> JourneyOfOne<'p> {
        let mut dice = Dice::new(plan.seed, 0);
        let mut journey = Journey::new(plan);
        journey.begin_scenario(plan, scenario, &mut dice);
        JourneyOfOne { plan, journey, dice }
    }

    /// The bytes of a step's request; None if a value cannot be put into it.
    pub fn request(&mut self, step: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut values = Values {
            slots: &self.journey.slots,
            rows: &self.journey.rows,
            feeds: &self.plan.feeds,
            counters: &self.plan.counters,
            dice: &mut self.dice,
        };
        let clean = self.plan.steps[step].request.render(&mut values, &self.journey.cookies, &mut Vec::new(), &mut out);
        clean.then_some(out)
    }

    /// Checks the answer and takes from it what the step extracts: names and values.
    pub fn judge(&mut self, step: usize, answer: Answer) -> Result<Extracted, (ErrorKind, String)> {
        let mut extracted = Vec::new();
        if self.plan.scenarios[self.journey.scenario].cookies {
            self.journey.take_cookies(answer.head);
        }
        let (plan, journey) = (self.plan, &mut self.journey);
        plan.steps[step].judge(answer, |slot, value| {
            journey.set_slot(slot, value);
            extracted.push((plan.slots[slot].trim_start_matches('\0').to_string(), value.to_vec()));
        })?;
        Ok(extracted)
    }
}
