//! The timeout of a response's head.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::request_body::BodyProgress;
use api::Timeout;

/// The running timeout of a request, which includes its retry.
pub(crate) struct Wait {
    began: Instant,
    timeout: Duration,
    progress: Option<Arc<BodyProgress>>,
}

impl Wait {
    /// Starts the timeout.
    pub(crate) fn begin(timeout: Timeout) -> Self {
        let began = Instant::now();
        match timeout {
            Timeout::Total(timeout) => Self { began, timeout, progress: None },
            Timeout::Idle(timeout) => Self { began, timeout, progress: Some(BodyProgress::new()) },
        }
    }

    /// Where the request's body records its progress, if that extends the timeout.
    pub(crate) fn progress(&self) -> Option<Arc<BodyProgress>> {
        self.progress.clone()
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for `response`.
    ///
    /// # Errors
    /// The timeout, once it has passed.
    pub(crate) async fn on<T>(&self, response: impl Future<Output = T>) -> Result<T, Duration> {
        let mut response = pin!(response);
        loop {
            let until = self.deadline();
            match timeout_at(until, response.as_mut()).await {
                Ok(response) => return Ok(response),
                Err(_) if self.deadline() > until => {}
                Err(_) => return Err(self.timeout),
            }
        }
    }

    fn deadline(&self) -> Instant {
        let last = self
            .progress
            .as_deref()
            .map_or(self.began, BodyProgress::last);
        last + self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use chassis::Problem;

    #[tokio::test]
    async fn a_response_timeout_is_a_504() {
        let short = Duration::from_millis(5);
        for timeout in [Timeout::Total(short), Timeout::Idle(short)] {
            let forever = std::future::pending::<()>();
            let waited = Wait::begin(timeout).on(forever).await;
            let error = Error::Late { service: "orders", timeout: waited.unwrap_err() };
            assert_eq!(Problem::from(error).status(), 504);
        }
    }
}
