//! What the rules are tried with: how metrics look while all is well, and what differs in each fault.

/// A series as promtool writes it, and its values: one a minute, none where it is not there.
pub(super) type Series = (&'static str, &'static str);

/// A fault: its alert, what differs from when all is well, and the alert's labels and text half an hour later.
pub(super) struct Fault {
    pub(super) alert: &'static str,
    /// In place of series of the same name and labels, or beside them.
    pub(super) series: &'static [Series],
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) summary: &'static str,
}

const REGISTRAR: &str = r#"up{namespace="tentacular-system",job="tentacular-mcp",container="registrar",pod="a"}"#;
const OTHER_REGISTRAR: &str =
    r#"up{namespace="tentacular-system",job="tentacular-mcp",container="registrar",pod="b"}"#;

/// One sample a minute while all is well.
pub(super) const ALL_WELL: &[Series] = &[
    (r#"up{namespace="tentacular-system",job="tentacular-mcp",container="kernel",pod="a"}"#, "1x60"),
    (r#"up{namespace="tentacular-system",job="tentacular-mcp",container="registrar",pod="a"}"#, "1x60"),
    (r#"up{namespace="tentacular-system",job="tentacular-mcp",container="scheduler",pod="a"}"#, "1x60"),
    (r#"up{namespace="tentacular-system",job="tentacular-mcp",container="auditor",pod="a"}"#, "1x60"),
    (r#"up{namespace="tentacular-system",job="tentacular-webhook",container="webhook",pod="c"}"#, "1x60"),
    (r#"tentacular_watch_age_seconds{container="kernel",pod="a",watch="enclaves"}"#, "9x60"),
    (r#"tentacular_sidecar_calls_total{pod="a",sidecar="registrar",result="answered"}"#, "0+60x60"),
    (r#"tentacular_sidecar_calls_total{pod="a",sidecar="registrar",result="unread"}"#, "0+60x60"),
    (r#"tentacular_sidecar_calls_total{pod="a",sidecar="registrar",result="away"}"#, "0+1x60"),
    (r#"tentacular_authentications_total{pod="a",result="unavailable"}"#, "3x60"),
    (r#"tentacular_authentications_total{pod="a",result="unknown-token"}"#, "0+60x60"),
    (r#"tentacular_scheduler_leader{pod="a"}"#, "1x30 0x30"),
    (r#"tentacular_scheduler_leader{pod="b"}"#, "0x30 1x30"),
    (r#"tentacular_schedule_skipped_total{pod="a",reason="missed"}"#, "0x60"),
    (r#"tentacular_schedule_skipped_total{pod="a",reason="overlap"}"#, "0+1x60"),
    (r#"tentacular_schedule_lateness_seconds_bucket{pod="a",le="1.0"}"#, "0+10x60"),
    (r#"tentacular_schedule_lateness_seconds_bucket{pod="a",le="60.0"}"#, "0+10x60"),
    (r#"tentacular_schedule_lateness_seconds_bucket{pod="a",le="+Inf"}"#, "0+10x60"),
    (r#"tentacular_webhook_certificate_expiry_timestamp_seconds{pod="c"}"#, "31536000x60"),
    (r#"tentacular_webhook_review_duration_seconds_bucket{le="0.5"}"#, "0+10x60"),
    (r#"tentacular_webhook_review_duration_seconds_bucket{le="1.0"}"#, "0+10x60"),
    (r#"tentacular_webhook_review_duration_seconds_bucket{le="5.0"}"#, "0+10x60"),
    (r#"tentacular_webhook_review_duration_seconds_bucket{le="+Inf"}"#, "0+10x60"),
];

/// At least one for each alert.
pub(super) const FAULTS: &[Fault] = &[
    Fault {
        alert: "TentacularPartAbsent",
        series: &[(REGISTRAR, "")],
        labels: &[("severity", "critical"), ("part", "registrar")],
        summary: "No registrar answers on its second port.",
    },
    Fault {
        alert: "TentacularPartDown",
        series: &[(OTHER_REGISTRAR, "0x60")],
        labels: &[
            ("severity", "warning"),
            ("namespace", "tentacular-system"),
            ("job", "tentacular-mcp"),
            ("container", "registrar"),
            ("pod", "b"),
        ],
        summary: "The registrar of pod b does not answer on its second port.",
    },
    Fault {
        alert: "TentacularFactsOutOfDate",
        series: &[(r#"tentacular_watch_age_seconds{container="kernel",pod="b",watch="enclaves"}"#, "0+60x60")],
        labels: &[("severity", "critical"), ("container", "kernel"), ("pod", "b"), ("watch", "enclaves")],
        summary: "The kernel of pod b has not heard of the API server for 30m 0s: it refuses what it is asked.",
    },
    Fault {
        alert: "TentacularCallsFail",
        series: &[(r#"tentacular_sidecar_calls_total{pod="b",sidecar="auditor",result="away"}"#, "0+60x60")],
        labels: &[("severity", "warning"), ("sidecar", "auditor")],
        summary: "100% of the calls that the auditor is to answer fail.",
    },
    Fault {
        alert: "TentacularIdentityProviderAway",
        series: &[(r#"tentacular_authentications_total{pod="b",result="unavailable"}"#, "0+1x60")],
        labels: &[("severity", "warning")],
        summary: "People are told to wait, as no key of the identity provider is known.",
    },
    Fault {
        alert: "TentacularNobodyFires",
        series: &[(r#"tentacular_scheduler_leader{pod="a"}"#, "0x60")],
        labels: &[("severity", "critical")],
        summary: "0 schedulers lead, and one should: schedules are not fired as they should be.",
    },
    Fault {
        alert: "TentacularFiringsMissed",
        // A new pod, whose count is not 0 when it is first asked.
        series: &[(r#"tentacular_schedule_skipped_total{pod="b",reason="missed"}"#, "_x20 4x40")],
        labels: &[("severity", "warning")],
        summary: "4 instants of schedules were missed in 15 minutes.",
    },
    Fault {
        alert: "TentacularFiringsMissed",
        series: &[(r#"tentacular_schedule_skipped_total{pod="a",reason="missed"}"#, "0x20 15x40")],
        labels: &[("severity", "warning")],
        summary: "15 instants of schedules were missed in 15 minutes.",
    },
    Fault {
        alert: "TentacularFiringsLate",
        series: &[(r#"tentacular_schedule_lateness_seconds_bucket{pod="a",le="1.0"}"#, "0+5x60")],
        labels: &[("severity", "warning")],
        summary: "One of a hundred firings is 58.82s late, or more.",
    },
    Fault {
        alert: "TentacularWebhookCertificateExpires",
        series: &[(r#"tentacular_webhook_certificate_expiry_timestamp_seconds{pod="d"}"#, "7000000x60")],
        labels: &[("severity", "critical"), ("pod", "d")],
        summary: "The webhook's certificate, as pod d serves it, expires soon or has expired: then nothing can be written in \
             enclaves.",
    },
    Fault {
        alert: "TentacularWebhookSlow",
        series: &[
            (r#"tentacular_webhook_review_duration_seconds_bucket{le="1.0"}"#, "0+5x60"),
            (r#"tentacular_webhook_review_duration_seconds_bucket{le="0.5"}"#, "0+5x60"),
        ],
        labels: &[("severity", "warning")],
        summary: "One of a hundred reviews takes 4.92s or more; the API server waits 5 s.",
    },
];
