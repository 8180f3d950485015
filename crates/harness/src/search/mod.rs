//! The search for what an engine does not survive: `sweep` strikes at every point of an ingestion, `chaos` at schedules that
//! chance makes, and shrinks what fails.

pub mod case;
pub mod chaos;
pub mod golden;
pub mod points;
pub mod record;
pub mod runner;
pub mod sample;
pub mod schedule;
pub mod shrink;
pub mod sweep;

use crate::oracle::OracleName;
use crate::scenario::Scenario;

/// What goes wrong is there to show that nothing acknowledged is lost: a search judges that too.
pub fn judged_by_durable(scenario: &mut Scenario) {
    if !scenario.oracles.contains(&OracleName::Durable) {
        scenario.oracles.push(OracleName::Durable);
    }
}
