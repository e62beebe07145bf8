//! What `wf_apply` and `wf_remove` do to the objects of a tentacle, seen on the objects themselves.

mod adoption;
mod counts;
mod dry_run;
mod immutable;
mod manifests;
mod migration;
mod modes;
mod place;
mod progress;
mod pruning;
mod removal;
mod repeats;
mod rolling;
mod violations;
mod waiting;
