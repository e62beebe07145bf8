//! What the API server dislikes about one field of an object.

use std::fmt;

use kube::core::response::StatusCause;

/// The longest message, in characters. The one for a Job's template dumps the whole pod.
const LONGEST: usize = 300;
/// What stays of the beginning of a longer one. Some say what is wrong there, and some at the end.
const HEAD: usize = 140;
/// Where a value that cannot be changed is named, what it was to become tells nothing.
const IMMUTABLE: &str = "field is immutable";

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Its path, such as `spec.template.spec.containers[0].image`. May be empty.
    pub field: String,
    /// The kind of mistake, such as `FieldValueInvalid` or `FieldValueForbidden`.
    pub reason: String,
    /// What the API server says, 300 characters at most. For a Secret, whose values it may quote, at most that the field is
    /// immutable.
    pub message: String,
}

impl Cause {
    pub(crate) fn of(told: &StatusCause, is_secret: bool) -> Self {
        let message = match (is_secret, told.message.contains(IMMUTABLE)) {
            (false, _) => short(&told.message),
            (true, true) => IMMUTABLE.to_owned(),
            (true, false) => String::new(),
        };
        Self { field: told.field.clone(), reason: told.reason.clone(), message }
    }
}

/// Field and message, or for want of one the reason.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.message.is_empty() { &self.reason } else { &self.message };
        match self.field.as_str() {
            "" => f.write_str(what),
            field => write!(f, "{field}: {what}"),
        }
    }
}

fn short(message: &str) -> String {
    // For a volume a comparison of the two follows, line by line.
    let message = message.lines().next().unwrap_or_default();
    if message.starts_with("Invalid value: ") && message.ends_with(IMMUTABLE) {
        return IMMUTABLE.to_owned();
    }
    let length = message.chars().count();
    if length <= LONGEST {
        return message.to_owned();
    }
    let head = message.chars().take(HEAD);
    let tail = message.chars().skip(length - (LONGEST - HEAD - 1));
    head.chain(['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(message: &str, is_secret: bool) -> Cause {
        let told = StatusCause {
            reason: "FieldValueInvalid".to_owned(),
            message: message.to_owned(),
            field: "spec.selector".to_owned(),
        };
        Cause::of(&told, is_secret)
    }

    #[test]
    fn an_immutable_field_is_told_without_its_value() {
        let dump = format!("Invalid value: {}: field is immutable", "core.PodTemplateSpec{}, ".repeat(100));
        assert_eq!(cause(&dump, false).to_string(), "spec.selector: field is immutable");
    }

    #[test]
    fn a_comparison_that_follows_is_left_out() {
        let compared = "Forbidden: spec is immutable after creation\n@@ -1,2 +1,2 @@\n-  \"a\"\n+  \"b\"";
        assert_eq!(cause(compared, false).message, "Forbidden: spec is immutable after creation");
    }

    #[test]
    fn of_a_long_message_both_ends_stay() {
        let exact = "ä".repeat(LONGEST);
        assert_eq!(cause(&exact, false).message, exact);
        let long = cause(&format!("Forbidden: {}: stays as it is", "ä".repeat(LONGEST)), false).message;
        assert_eq!(long.chars().count(), LONGEST);
        assert!(long.starts_with("Forbidden: ä") && long.ends_with("ä: stays as it is"), "{long}");
    }

    #[test]
    fn a_secrets_value_is_not_told() {
        for (message, told) in [
            ("Invalid value: \"hunter2\": no key", "FieldValueInvalid"),
            ("Invalid value: \"hunter2\": field is immutable", "field is immutable"),
            ("Forbidden: field is immutable when `immutable` is set", "field is immutable"),
        ] {
            let secret = cause(message, true);
            assert_eq!(secret.to_string(), format!("spec.selector: {told}"));
            assert!(!format!("{secret:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_cause_without_field_is_told_alone() {
        let cause = Cause { field: String::new(), ..cause("too many", false) };
        assert_eq!(cause.to_string(), "too many");
    }
}
