//! The chart, by the real helm: what it renders is what the API server takes, wrong values are refused with the reason, and a
//! release can be installed, upgraded, rolled back and removed. That each setting of a process has its place, `make docs` sees to.

mod narrowed;
mod pods;
mod refused;
mod release;
mod rendered;

use tentacular_test_harness::Part;

/// The five processes.
const PROCESSES: [Part; 5] = [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor, Part::Webhook];
