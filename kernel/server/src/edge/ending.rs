//! How an exchange with a sidecar ended, and what its caller is told: one table.

use http::StatusCode;
use tentacular_contract::limits::CALLS_AT_ONCE_IN_A_SIDECAR;
use tentacular_process::link::client::LinkError;

use super::forward::Call;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer was passed on to its end.
    Answered,
    /// The caller left, and the call ended with that.
    Cancelled,
    /// The sidecar had no place for it.
    Busy,
    /// The sidecar could not be reached.
    Away,
    /// The connection to the sidecar broke.
    Broken,
    /// The tool's deadline passed.
    TooLate,
    /// The tool's deadline passed while the caller did not read.
    Unread,
    /// What the sidecar answered is no answer to a call.
    NoAnswer(StatusCode),
}

impl From<&LinkError> for Ending {
    fn from(error: &LinkError) -> Self {
        match error {
            LinkError::Busy { .. } => Self::Busy,
            LinkError::NotConnected { .. } => Self::Away,
            LinkError::Broken { .. } => Self::Broken,
        }
    }
}

impl Ending {
    /// A label for the record and for metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Away => "away",
            Self::Broken => "broken",
            Self::TooLate => "too-late",
            Self::Unread => "unread",
            Self::NoAnswer(_) => "no-answer",
        }
    }

    /// What the caller is told of a call that was not answered.
    pub(super) fn sentence(self, call: &Call) -> String {
        let (sidecar, name) = (&call.tool.sidecar, &call.name);
        let look = |effect: &str| {
            if call.tool.read_only {
                "try again".to_owned()
            } else {
                format!("it {effect}: look before you repeat it")
            }
        };
        match self {
            Self::Answered | Self::Cancelled => String::new(),
            Self::Busy => format!(
                "the {sidecar} is busy with {CALLS_AT_ONCE_IN_A_SIDECAR} calls, {name} was not started; \
                 try again in a moment"
            ),
            Self::Away => {
                format!("the {sidecar} is not available right now, {name} was not started; try again in a moment")
            }
            Self::Broken => format!("the {sidecar} ended while {name} ran; {}", look("may have had effect")),
            Self::TooLate | Self::Unread => {
                let seconds = call.tool.authz.deadline_seconds;
                format!("{name} took longer than its {seconds} s; {}", look("may still have effect"))
            }
            Self::NoAnswer(status) => {
                format!("the {sidecar} answered with HTTP {status}, which is no answer to a call")
            }
        }
    }
}
