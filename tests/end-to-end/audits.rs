//! What the audits find in objects on the API server, and that their remedies mend it.

mod ground;
mod netpol;
mod psa;
mod rbac;
mod resources;
