//! `jobs:{job_id}`: the progress of one job, live.

use std::time::Duration;

use bennu::cluster::Gap;
use bennu::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::ids::JobId;
use crate::queue::{Job, JobCompleted, JobFailed, JobProgress, JobStatus, JobType};

use super::Listener;

/// One client following one job.
///
/// The channel is subscribed to the job's topic, on whichever node the job runs, before it reads the
/// row, so nothing is lost between the two; what was published before the read is recognised by its
/// revision, so nothing is told twice or out of order; and nothing is told after the end. When
/// messages between the nodes were lost, it reads the row again.
#[derive(Debug)]
pub struct JobChannel {
    job: JobId,
    job_type: JobType,
    told: Told,
}

/// What the client has been told so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Everything up to a revision of the job.
    Until(i64),
    /// The end.
    End,
}

/// `job:progress`, as clients know it.
#[derive(Debug, Serialize)]
struct ProgressPayload<'a> {
    job_id: JobId,
    status: JobStatus,
    progress: u8,
    message: &'a str,
}

impl Channel for JobChannel {
    type Assigns = Listener;

    async fn join(request: JoinRequest<Listener>) -> Result<Joined<Self>, JoinRefusal> {
        // A foreign job, an unknown one and a malformed id look the same from outside.
        let refusal = || JoinRefusal::reason("not_found");
        let job: JobId = request.rest().parse().map_err(|_| refusal())?;
        let Listener { user_id, queue } = request.assigns();
        let Job { job_type, .. } = queue.job(*user_id, job).await?.ok_or_else(refusal)?;
        Ok(Joined::new(Self { job, job_type, told: Told::Until(0) }))
    }

    async fn after_join(&mut self, cx: &mut Context<Listener>) -> Result<(), ChannelError> {
        let arrives = cx.pubsub().settle(cx.topic().as_str());
        // An engine that does not answer is told of by a gap, later.
        let _ = tokio::time::timeout(SETTLE_WITHIN, arrives).await;
        self.read_row(cx).await
    }

    async fn handle_in(&mut self, event: &str, _: Payload, _: &mut Context<Listener>) -> HandlerResult {
        match event {
            "ping" => Handled::ok(),
            _ => Handled::error(json!({"reason": "unknown_event"})),
        }
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<Listener>) -> HandlerResult {
        if info.get::<Gap>().is_some() && self.told != Told::End {
            self.read_row(cx).await?;
        }
        if let Some(progress) = info.get::<JobProgress>() {
            self.tell_progress(progress, cx)?;
        }
        if let Some(completed) = info.get::<JobCompleted>() {
            self.tell_end("job:completed", completed, cx)?;
        }
        if let Some(failed) = info.get::<JobFailed>() {
            self.tell_end("job:failed", failed, cx)?;
        }
        Handled::no_reply()
    }
}

/// How long a join waits for the engine between the nodes.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

impl JobChannel {
    async fn read_row(&mut self, cx: &Context<Listener>) -> Result<(), ChannelError> {
        let Listener { user_id, queue } = cx.assigns();
        match queue.job(*user_id, self.job).await? {
            Some(job) => self.tell_row(&job, cx),
            // Deleted since the join; it ended before that, and nothing more will come.
            None => {
                let error = "the track was deleted".to_owned();
                let failed = JobFailed { job_id: self.job, job_type: self.job_type, error };
                self.tell_end("job:failed", &failed, cx)
            }
        }
    }

    /// Tells where the job stands, with its end if that is where.
    fn tell_row(&mut self, job: &Job, cx: &Context<Listener>) -> Result<(), ChannelError> {
        self.tell_progress(&JobProgress::of(job), cx)?;
        if let Some(completed) = JobCompleted::of(job) {
            self.tell_end("job:completed", &completed, cx)?;
        }
        if let Some(failed) = JobFailed::of(job) {
            self.tell_end("job:failed", &failed, cx)?;
        }
        Ok(())
    }

    fn tell_progress(&mut self, progress: &JobProgress, cx: &Context<Listener>) -> Result<(), ChannelError> {
        let is_news = match self.told {
            Told::Until(revision) => progress.revision > revision,
            Told::End => false,
        };
        if !is_news {
            return Ok(());
        }
        self.told = Told::Until(progress.revision);
        let payload = ProgressPayload {
            job_id: progress.job_id,
            status: progress.status,
            progress: progress.progress,
            message: &progress.message,
        };
        Ok(cx.push("job:progress", payload)?)
    }

    fn tell_end(
        &mut self,
        event: &str,
        end: &impl Serialize,
        cx: &Context<Listener>,
    ) -> Result<(), ChannelError> {
        if self.told == Told::End {
            return Ok(());
        }
        self.told = Told::End;
        Ok(cx.push(event, end)?)
    }
}

#[cfg(test)]
mod tests;
