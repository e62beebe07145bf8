//! Running the webhook: its certificate changes, its replicas come and go, and nobody who writes notices.

mod certificates;
mod load;
mod namespaces;
mod place;
mod replicas;
mod rotation;
