//! What traces tell of the writer (OPR-80): how long a request waited, its group, the group's commit, and the publication.

use ferry_trace::{Span, SpanContext, current};

/// A job of a traced request waits; of any other it is empty.
#[derive(Default)]
pub(super) struct Waiting {
    /// The request.
    request: Option<SpanContext>,
    /// The wait.
    span: Span,
}

impl Waiting {
    /// For the task that submits a job.
    pub(super) fn begin() -> Self {
        match current() {
            None => Self::default(),
            Some(request) => Self { span: request.child("mailbox"), request: Some(request) },
        }
    }

    /// The wait is over; what comes is called `name`.
    pub(super) fn over(self, name: &'static str) -> TracedJob {
        let Self { request, span } = self;
        drop(span);
        TracedJob(request.map_or_else(Span::none, |request| request.child(name)))
    }

    /// The wait is over, and the job goes on elsewhere.
    pub(super) fn into_request(self) -> Option<SpanContext> {
        self.request
    }
}

/// A job of its own, or what a lease does at its end.
pub(super) struct TracedJob(Span);

impl TracedJob {
    pub(super) const fn of(span: Span) -> Self {
        Self(span)
    }

    /// Its commits are published, until what is returned is dropped.
    pub(super) fn publishes(&self) -> Span {
        self.0.context().map_or_else(Span::none, |job| job.child("fan-out"))
    }

    pub(super) fn fail(&mut self) {
        self.0.fail();
    }
}

/// The traced requests of a group: mostly none.
pub(super) struct TracedGroup {
    requests: Vec<TracedRequest>,
    /// When the last of all its requests was applied: then the commit begins.
    applied_ns: Option<u64>,
}

struct TracedRequest {
    /// Its place in the group.
    place: usize,
    group: Span,
    /// The same, for its parts.
    context: SpanContext,
}

impl TracedGroup {
    /// The wait of these is over. The iterator is of all requests of the group, `count` of them.
    pub(super) fn begin(waits: impl Iterator<Item = Waiting>, count: usize) -> Self {
        let requests = waits.enumerate().filter_map(|(place, waiting)| {
            let TracedJob(mut group) = waiting.over("group");
            group.set("ferry.group.requests", || count);
            let context = group.context()?;
            Some(TracedRequest { place, group, context })
        });
        Self { requests: requests.collect(), applied_ns: None }
    }

    /// Another request was applied.
    pub(super) fn applied(&mut self) {
        if let Some(first) = self.requests.first() {
            self.applied_ns = Some(first.context.now_ns());
        }
    }

    /// The group's COMMIT has ended, well or not. A group that failed before a request of it was applied came to none.
    pub(super) fn committed(&mut self, is_well: bool) {
        let Some(applied_ns) = self.applied_ns else {
            self.requests.iter_mut().for_each(|request| request.group.fail());
            return;
        };
        for request in &mut self.requests {
            let mut commit = request.context.child("commit").since(applied_ns);
            if !is_well {
                commit.fail();
                request.group.fail();
            }
        }
    }

    /// The commit of the request at this place is published, until what is returned is dropped.
    pub(super) fn publishes(&self, place: usize) -> Span {
        let request = self.requests.iter().find(|request| request.place == place);
        request.map_or_else(Span::none, |request| request.context.child("fan-out"))
    }

    /// The request at this place failed: nothing of it is stored.
    pub(super) fn failed(&mut self, place: usize) {
        if let Some(request) = self.requests.iter_mut().find(|request| request.place == place) {
            request.group.fail();
        }
    }
}
