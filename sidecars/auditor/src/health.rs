//! Green, amber or red: what a tentacle's replicas and its engine's own words make of it.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    probe::{Probe, ProbeError},
    tentacle::replicas::Replicas,
    text,
};

/// How a tentacle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Light {
    /// It can run, and its last run went well.
    Green,
    /// It needs a look: its last run failed, a run is under way, or not all of it is there.
    Amber,
    /// It cannot run.
    Red,
}

/// A judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Light,
    pub(crate) reason: Option<String>,
    /// What the engine said, where it was asked and answered.
    pub(crate) detail: Option<String>,
}

impl Verdict {
    fn new(status: Light, reason: impl Into<String>) -> Self {
        Self { status, reason: Some(reason.into()), detail: None }
    }
}

/// The judgement on a tentacle; where a pod of it is ready, its engine is asked at `health_url`.
pub(crate) async fn judge<P: Probe>(probe: &P, health_url: &str, replicas: Replicas) -> Verdict {
    match without_engine(replicas) {
        Some(verdict) => verdict,
        None => by_engine(replicas, probe.ask(health_url).await),
    }
}

/// The judgement on a tentacle whose engine need not be asked: none of its pods answers.
fn without_engine(replicas: Replicas) -> Option<Verdict> {
    let Replicas { desired, ready, .. } = replicas;
    match (desired, ready) {
        // Somebody wants it so, and it is no failure; but it cannot run.
        (0, 0) => Some(Verdict::new(Light::Amber, "switched off: it is scaled to 0 replicas")),
        (_, ..1) => Some(Verdict::new(Light::Red, format!("0/{desired} replicas ready"))),
        _ => None,
    }
}

/// The judgement by what the engine answered to `/health?detail=1`.
pub(crate) fn by_engine(replicas: Replicas, answer: Result<Vec<u8>, ProbeError>) -> Verdict {
    let body = match answer {
        Ok(body) => body,
        Err(error) => return Verdict::new(Light::Red, text::line(&error.to_string())),
    };
    // An engine of another kind that answers is well, whatever it says.
    let said = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let Replicas { desired, ready, .. } = replicas;
    let mut verdict = if said["lastRunFailed"] == true {
        Verdict::new(Light::Amber, "last execution failed")
    } else if said["inFlight"].as_f64().is_some_and(|runs| runs > 0.0) {
        Verdict::new(Light::Amber, "execution in flight")
    } else if ready < desired {
        Verdict::new(Light::Amber, format!("{ready}/{desired} replicas ready"))
    } else {
        Verdict { status: Light::Green, reason: None, detail: None }
    };
    verdict.detail = Some(text::document(&body));
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tentacle::replicas::tests::replicas;

    #[test]
    fn without_a_ready_pod_the_engine_is_not_asked() {
        for (replicas, light, reason) in [
            (replicas(0, 1), Light::Red, "0/1 replicas ready"),
            (replicas(0, 3), Light::Red, "0/3 replicas ready"),
            (replicas(0, 0), Light::Amber, "switched off: it is scaled to 0 replicas"),
        ] {
            assert_eq!(without_engine(replicas), Some(Verdict::new(light, reason)));
        }
        assert_eq!(without_engine(replicas(1, 2)), None);
        assert_eq!(without_engine(replicas(1, 0)), None, "the last one is still going");
    }

    #[test]
    fn the_engine_says_how_it_is() {
        for (body, ready, light, reason) in [
            (r#"{"status":"ok","lastRunFailed":false,"inFlight":0}"#, 2, Light::Green, None),
            (r#"{"lastRunFailed":true,"inFlight":1}"#, 2, Light::Amber, Some("last execution failed")),
            (r#"{"lastRunFailed":false,"inFlight":2}"#, 2, Light::Amber, Some("execution in flight")),
            (r#"{"lastRunFailed":null,"inFlight":"many"}"#, 1, Light::Amber, Some("1/2 replicas ready")),
            ("fine, thanks", 2, Light::Green, None),
            ("", 2, Light::Green, None),
        ] {
            let verdict = by_engine(replicas(ready, 2), Ok(body.into()));
            assert_eq!((verdict.status, verdict.reason.as_deref()), (light, reason), "{body}");
            assert!(verdict.detail.is_some());
        }
    }

    #[test]
    fn while_a_rollout_is_under_way_the_pods_that_are_there_count() {
        let begun = Replicas { updated: 1, old: 2, ..replicas(2, 2) };
        let unseen = Replicas { observed: false, ..replicas(2, 2) };
        for replicas in [begun, unseen] {
            assert!(!replicas.is_ready());
            assert_eq!(without_engine(replicas), None);
            assert_eq!(by_engine(replicas, Ok(b"{}".to_vec())).status, Light::Green);
        }
    }

    #[test]
    fn an_engine_that_does_not_answer_is_red() {
        let verdict = by_engine(replicas(1, 1), Err(ProbeError::Status(503)));
        assert_eq!(verdict, Verdict::new(Light::Red, "health endpoint returned status 503"));
    }
}
