//! What can go wrong when the Kubernetes API is asked, sorted by what a caller can do about it.

use std::{fmt, time::Duration};

use kube::core::Status;

use crate::cause::Cause;

/// How long to wait after a 429 that does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// How server-side apply complains about a field of the wrong type or form: as an internal error, which it is not.
const MALFORMED: [&str; 2] = ["failed to create typed patch object", "failed to convert new object"];

/// All that the API server says at a path that it does not serve. A 404 with other words may be somebody's in between.
const NOT_SERVED: &str = "404 page not found";

/// The cause of a 403 for what is to be made in a namespace that is being deleted (`NamespaceTerminatingCause`).
const TERMINATING: &str = "NamespaceTerminating";

/// A request to the Kubernetes API that failed. Its text is a sentence for a person and never holds the content of a
/// Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 404: there is no such object, or not the namespace to make it in.
    #[error("{object} does not exist")]
    NotFound {
        /// Kind, namespace and name.
        object: String,
    },
    /// 404 of another kind: the API server does not serve this kind of object, which some extension would define.
    #[error("the cluster does not know {object}, a kind that is not installed")]
    NotServed {
        /// Kind, namespace and name.
        object: String,
    },
    /// 409: an object of that name is there already.
    #[error("{object} exists already")]
    AlreadyExists {
        /// Kind, namespace and name.
        object: String,
    },
    /// 409: the object is not the one that was read, or another field manager owns a field.
    #[error("{object} was changed by somebody else: {message}")]
    Conflict {
        /// Kind, namespace and name.
        object: String,
        /// What the API server says.
        message: String,
    },
    /// 403: the namespace is being deleted, so nothing new can be made in it.
    #[error("{object} cannot be made: its namespace is being deleted")]
    Terminating {
        /// Kind, namespace and name.
        object: String,
    },
    /// 403: this process's account may not, or an admission rule or quota says no.
    #[error("the Kubernetes API refused access to {object}: {message}")]
    Forbidden {
        /// Kind, namespace and name.
        object: String,
        /// What the API server says.
        message: String,
    },
    /// 422, 400, 413 or 415: what was sent is not acceptable, and sending it again will not help.
    #[error("{object} is invalid: {message}")]
    Invalid {
        /// Kind, namespace and name.
        object: String,
        /// The causes, or where there are none what the API server says.
        message: String,
        /// What is wrong, field by field, as far as the API server tells.
        causes: Vec<Cause>,
    },
    /// No connection, no answer in time, 429 or 5xx. Whether a write was done is unknown, except as noted below.
    #[error("the Kubernetes API is unavailable for {object}: {message}")]
    Unavailable {
        /// Kind, namespace and name.
        object: String,
        /// What happened.
        message: String,
        /// After a 429: nothing was done, and the API server asks to wait this long.
        retry_after: Option<Duration>,
    },
    /// 410: the API server no longer knows the state from which a list or watch was to go on.
    #[error("the Kubernetes API lost its place in {object}; read again")]
    Expired {
        /// Kind and namespace.
        object: String,
    },
    /// Anything else, such as credentials that are not accepted or an answer that cannot be read.
    #[error("{object}: {message}")]
    Other {
        /// Kind, namespace and name.
        object: String,
        /// What happened.
        message: String,
    },
}

impl Error {
    /// Whether the object is not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the API server does not know this kind of object.
    pub const fn is_not_served(&self) -> bool {
        matches!(self, Self::NotServed { .. })
    }

    /// Whether the object changed since it was read, or somebody else owns a field.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether access was refused.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    /// Whether the API could not be reached or could not answer, so that the same request may succeed later.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// How long to wait before the same request is sent again, where the API server asked for that.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn unavailable(about: &About, message: impl Into<String>) -> Self {
        Self::Unavailable { object: about.to_string(), message: message.into(), retry_after: None }
    }

    pub(crate) fn unanswered(about: &About, within: Duration) -> Self {
        Self::unavailable(about, format!("no answer within {} s", within.as_secs()))
    }

    pub(crate) fn invalid(about: &About, message: impl Into<String>) -> Self {
        Self::Invalid { object: about.to_string(), message: message.into(), causes: Vec::new() }
    }

    pub(crate) fn other(about: &About, message: impl Into<String>) -> Self {
        Self::Other { object: about.to_string(), message: message.into() }
    }

    /// An answer that is not what it should be. Where, and not what: the text of `error` may quote values.
    pub(crate) fn unreadable(about: &About, error: &serde_json::Error) -> Self {
        let message = format!("the answer cannot be read (line {}, column {})", error.line(), error.column());
        Self::other(about, message)
    }

    pub(crate) fn from_kube(about: &About, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(about, &status),
            kube::Error::HyperError(error) => Self::unavailable(about, chain(&error)),
            kube::Error::Service(error) => Self::unavailable(about, chain(error.as_ref())),
            kube::Error::ReadEvents(error) => Self::unavailable(about, chain(&error)),
            kube::Error::SerdeError(error) => Self::unreadable(about, &error),
            error => Self::other(about, error.to_string()),
        }
    }

    fn from_causes(about: &About, status: &Status) -> Self {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let causes: Vec<Cause> = causes.map(|cause| Cause::of(cause, about.is_secret())).collect();
        let told: Vec<String> = causes.iter().map(Cause::to_string).collect();
        let message = if told.is_empty() { about.message(status) } else { told.join("; ") };
        Self::Invalid { object: about.to_string(), message, causes }
    }

    pub(crate) fn from_status(about: &About, status: &Status) -> Self {
        let object = about.to_string();
        let message = about.message(status);
        let says = |reasons: &[&str]| reasons.contains(&status.reason.as_str());
        match status.code {
            _ if status.is_already_exists() => Self::AlreadyExists { object },
            _ if status.is_not_found() => Self::NotFound { object: about.missing(status) },
            404 if status.message.trim_end() == NOT_SERVED => Self::NotServed { object },
            _ if status.is_conflict() => Self::Conflict { object, message },
            _ if status.is_forbidden() && has_cause(status, TERMINATING) => Self::Terminating { object },
            _ if status.is_forbidden() => Self::Forbidden { object, message },
            _ if status.is_invalid() => Self::from_causes(about, status),
            410 => Self::Expired { object },
            500 if MALFORMED.iter().any(|start| status.message.starts_with(start)) => {
                Self::from_causes(about, status)
            }
            400 | 413 | 415 => Self::from_causes(about, status),
            429 => {
                let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                let wait = if wait == 0 { DEFAULT_WAIT } else { Duration::from_secs(wait.into()) };
                Self::Unavailable { object, message, retry_after: Some(wait) }
            }
            408 | 500.. => Self::Unavailable { object, message, retry_after: None },
            _ if says(&["Timeout", "ServerTimeout", "ServiceUnavailable", "InternalError"]) => {
                Self::Unavailable { object, message, retry_after: None }
            }
            _ => Self::Other { object, message },
        }
    }
}

fn has_cause(status: &Status, reason: &str) -> bool {
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == reason)
}

/// The text of an error and of what caused it, each part once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// What a request is about, for the text of its error.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) namespace: Option<String>,
    /// Absent for a list or watch.
    pub(crate) name: Option<String>,
}

impl About {
    fn is_secret(&self) -> bool {
        self.kind == "Secret"
    }

    /// What the API server says. For a Secret only the kind of its answer, since its messages quote values.
    fn message(&self, status: &Status) -> String {
        if !self.is_secret() {
            let texts = [&status.message, &status.reason];
            return texts
                .into_iter()
                .find(|text| !text.is_empty())
                .cloned()
                .unwrap_or(format!("HTTP {}", status.code));
        }
        format!("refused with {} {} (details withheld)", status.code, status.reason)
    }

    /// The object that is not there: a namespace when the API server says so, else the one asked for.
    fn missing(&self, status: &Status) -> String {
        match &status.details {
            Some(details) if details.kind == "namespaces" && self.plural != "namespaces" => {
                format!("Namespace {}", details.name)
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, "{} {namespace}/{name}", self.kind),
            (None, Some(name)) => write!(f, "{} {name}", self.kind),
            (Some(namespace), None) => write!(f, "{} in {namespace}", self.plural),
            (None, None) => f.write_str(&self.plural),
        }
    }
}

#[cfg(test)]
mod tests;
