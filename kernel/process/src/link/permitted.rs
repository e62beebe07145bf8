//! What a handler gets: a call that was permitted. Only the link makes one, so a handler without a permit does not
//! compile.

use std::fmt;

use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
};
use tentacular_contract::{Caller, Denied, EnclaveName, Frozen, Permit, Place, Tentacle, TentacleName};

/// A call that the kernel permitted. Nobody but the link makes one:
///
/// ```compile_fail
/// fn without_a_permit(caller: tentacular_contract::Caller, permit: tentacular_contract::Permit) {
///     tentacular_process::link::Permitted::new(caller, permit, None, None);
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Permitted {
    caller: Caller,
    permit: Permit,
    frozen: Option<Frozen>,
    progress: Option<(Peer<RoleServer>, ProgressToken)>,
}

impl Permitted {
    pub(super) const fn new(
        caller: Caller,
        permit: Permit,
        frozen: Option<Frozen>,
        progress: Option<(Peer<RoleServer>, ProgressToken)>,
    ) -> Self {
        Self { caller, permit, frozen, progress }
    }

    /// Who calls.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What was allowed.
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The enclave of the call. An error where the tool declares none, which is a defect of the declaration.
    pub fn enclave(&self) -> Result<&EnclaveName, ToolError> {
        self.permit.enclave().ok_or_else(|| ToolError::new("this tool was called without an enclave: name one"))
    }

    /// The tentacle of the call. An error where the tool declares none, which is a defect of the declaration.
    pub fn tentacle(&self) -> Result<&TentacleName, ToolError> {
        self.permit.tentacle().ok_or_else(|| ToolError::new("this tool was called without a tentacle: name one"))
    }

    /// Decides again, against the live objects, before a write: the permit, and what the tool declares of frozen
    /// enclaves.
    pub fn recheck(&self, place: Place<'_>, tentacle: Option<&Tentacle>) -> Result<(), Denied> {
        self.permit.recheck(&self.caller, self.frozen, place, tentacle)
    }

    /// Tells the caller how far the call is, if the caller asked to be told.
    pub async fn progress(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        if let Some((peer, token)) = &self.progress {
            let mut params = ProgressNotificationParam::new(token.clone(), done).with_message(message);
            params.total = total;
            // The caller may be gone; the call goes on without an audience.
            let _ = peer.notify_progress(params).await;
        }
    }
}

/// Why a tool failed: one sentence for the caller that says what to do.
#[derive(Debug)]
pub struct ToolError(String);

impl ToolError {
    /// An error with this text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
