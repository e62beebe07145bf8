//! `wf_jobs`: the Jobs and `CronJobs` of an enclave or of one tentacle.

use std::sync::Arc;

use k8s_openapi::{
    api::batch::v1::{CronJob as LiveCronJob, Job as LiveJob},
    apimachinery::pkg::apis::meta::v1::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    clock::{Clock, age, utc},
    observed::Observed,
    page::{self, Page},
    text::{self, Untrusted},
    view::{Belongs, View},
};

/// The arguments of `wf_jobs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the jobs. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Only jobs of this tentacle; of all that the caller may read when left out.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: Option<String>,
    /// Most jobs and cron jobs to name, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `wf_jobs`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listing {
    /// The enclave.
    enclave: String,
    /// Jobs, in the order of their names.
    jobs: Vec<Job>,
    /// Cron jobs, in the order of their names. They come before the jobs where there are several pages.
    cronjobs: Vec<CronJob>,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What the texts in it are.
    untrusted: Untrusted,
}

/// A Job.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Job {
    /// Its name.
    name: String,
    /// The tentacle that it belongs to; left out when it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tentacle: Option<String>,
    /// `Complete`, `Failed`, `Running`, `Suspended` or `Pending`.
    status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    /// When it completed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<String>,
    /// How long it took, or has been running, such as `1m30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
}

/// A `CronJob`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CronJob {
    /// Its name.
    name: String,
    /// The tentacle that it belongs to; left out when it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tentacle: Option<String>,
    /// When it makes a Job.
    schedule: String,
    /// The time zone of the schedule, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    /// When it last made a Job, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_scheduled: Option<String>,
    /// How many of its Jobs are running.
    active: usize,
    /// Whether it is suspended.
    suspended: bool,
}

enum Either {
    CronJob(CronJob),
    Job(Job),
}

/// What the kernel and clients are told of `wf_jobs`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Lists the Jobs and CronJobs of an enclave, or of one tentacle. Those of tentacles that you may not \
                       read are left out. Schedules of tentacles are no CronJobs: wf_schedule shows those, and wf_runs \
                       what came of them.";
    ToolSpec::new("wf_jobs", "List jobs and cron jobs", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfJobs<C> {
    pub(crate) observed: Observed,
    pub(crate) clock: C,
}

impl<C: Clock> WfJobs<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Listing, ToolError> {
        let mut page = Page::new(arguments.cursor, page::limit(arguments.limit)?);
        let mut view = View::open(&self.observed, &permitted).await?;
        let (cron_jobs, jobs) = tokio::try_join!(
            self.observed.list::<LiveCronJob>(&view.enclave),
            self.observed.list::<LiveJob>(&view.enclave),
        )?;
        view.add_all("CronJob", cron_jobs.iter().map(|job| &job.metadata));
        let all = cron_jobs.iter().map(|job| &job.metadata).chain(jobs.iter().map(|job| &job.metadata));
        view.owners_of(&self.observed, all).await?;
        for (belongs, job) in view.seen(cron_jobs) {
            let place = format!("cronjob/{}", job.metadata.name.as_deref().unwrap_or_default());
            page.offer(place, || Either::CronJob(cron_job(belongs, &job)));
        }
        for (belongs, job) in view.seen(jobs) {
            let place = format!("job/{}", job.metadata.name.as_deref().unwrap_or_default());
            page.offer(place, || Either::Job(self.job(belongs, &job)));
        }
        let (found, next_cursor) = page.end();
        let mut answer = Listing {
            enclave: view.enclave.name.to_string(),
            jobs: Vec::new(),
            cronjobs: Vec::new(),
            truncated: next_cursor.is_some(),
            next_cursor,
            untrusted: Untrusted::Content,
        };
        for either in found {
            match either {
                Either::CronJob(job) => answer.cronjobs.push(job),
                Either::Job(job) => answer.jobs.push(job),
            }
        }
        Ok(answer)
    }

    fn job(&self, belongs: Belongs, job: &LiveJob) -> Job {
        let status = job.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let is =
            |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
        let failed = is("Failed");
        let state = match () {
            () if is("Complete").is_some() => "Complete",
            () if failed.is_some() => "Failed",
            () if is("Suspended").is_some() => "Suspended",
            () if status.active.unwrap_or(0) > 0 => "Running",
            () => "Pending",
        };
        let ended = status.completion_time.clone().or_else(|| failed?.last_transition_time.clone());
        let until = ended.map_or_else(|| self.clock.now(), |time| time.0);
        let said = |failed: &k8s_openapi::api::batch::v1::JobCondition| {
            let parts = [failed.reason.as_deref(), failed.message.as_deref()];
            text::line(&parts.into_iter().flatten().collect::<Vec<_>>().join(": "))
        };
        Job {
            name: job.metadata.name.clone().unwrap_or_default(),
            tentacle: belongs.tentacle(),
            status: state,
            reason: failed.map(said),
            start: status.start_time.as_ref().map(written),
            completion: status.completion_time.as_ref().map(written),
            duration: status.start_time.as_ref().map(|start| age(until, start.0)),
        }
    }
}

fn cron_job(belongs: Belongs, job: &LiveCronJob) -> CronJob {
    let (spec, status) = (job.spec.as_ref(), job.status.as_ref());
    let last = status.and_then(|status| status.last_schedule_time.as_ref());
    CronJob {
        name: job.metadata.name.clone().unwrap_or_default(),
        tentacle: belongs.tentacle(),
        schedule: spec.map(|spec| text::line(&spec.schedule)).unwrap_or_default(),
        timezone: spec.and_then(|spec| spec.time_zone.as_deref()).map(text::line),
        last_scheduled: last.map(written),
        active: status.and_then(|status| status.active.as_ref()).map_or(0, Vec::len),
        suspended: spec.and_then(|spec| spec.suspend).unwrap_or(false),
    }
}

fn written(time: &Time) -> String {
    utc(time.0)
}
