//! Values that are wanted anew at each attempt: params, tokens.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use thiserror::Error;

/// A value, or how to get one. It is asked each time that the value is to be sent.
///
/// ```
/// use bennu_client::Provider;
///
/// let fixed = Provider::value("a token".to_owned());
/// let read_each_time = Provider::from_fn(|| std::env::var("TOKEN").unwrap_or_default());
/// let fetched_each_time = Provider::from_async(|| async { Ok("from the network".to_owned()) });
/// # let _: [Provider<String>; 3] = [fixed, read_each_time, fetched_each_time];
/// ```
pub struct Provider<T>(Source<T>);

enum Source<T> {
    Value(T),
    Computed(Arc<dyn Fn() -> T + Send + Sync>),
    Fetched(Arc<dyn Fn() -> Fetch<T> + Send + Sync>),
}

type Fetch<T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send>>;

/// Why a [`Provider`] gave nothing. The attempt that wanted it fails, and the next one asks again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ProviderError(String);

impl ProviderError {
    /// A failure with this text, which gets into logs.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        ProviderError(text.into())
    }
}

impl<T: Clone + Send + 'static> Provider<T> {
    /// The same value each time.
    #[must_use]
    pub fn value(value: T) -> Self {
        Provider(Source::Value(value))
    }

    /// What the function gives. It runs on the socket's task: it should be quick.
    #[must_use]
    pub fn from_fn(value: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Provider(Source::Computed(Arc::new(value)))
    }

    /// What the future gives. The socket goes on with everything else meanwhile; the time of the attempt runs.
    #[must_use]
    pub fn from_async<F>(value: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        Provider(Source::Fetched(Arc::new(move || Box::pin(value()))))
    }

    /// Asks for the value; a panic on the way is an error.
    pub(crate) async fn get(&self) -> Result<T, ProviderError> {
        let panicked = |_| ProviderError::new("the provider panicked");
        match &self.0 {
            Source::Value(value) => Ok(value.clone()),
            Source::Computed(value) => catch_unwind(AssertUnwindSafe(|| value())).map_err(panicked),
            Source::Fetched(value) => {
                let fetch = catch_unwind(AssertUnwindSafe(|| value())).map_err(panicked)?;
                AssertUnwindSafe(fetch).catch_unwind().await.map_err(panicked)?
            }
        }
    }

    /// The value, if it is always the same.
    pub(crate) fn fixed(&self) -> Option<&T> {
        match &self.0 {
            Source::Value(value) => Some(value),
            Source::Computed(_) | Source::Fetched(_) => None,
        }
    }
}

impl<T: Clone + Send + 'static> From<T> for Provider<T> {
    fn from(value: T) -> Self {
        Provider::value(value)
    }
}

impl From<&str> for Provider<String> {
    fn from(value: &str) -> Self {
        Provider::value(value.to_owned())
    }
}

impl<T: Clone> Clone for Provider<T> {
    fn clone(&self) -> Self {
        Provider(match &self.0 {
            Source::Value(value) => Source::Value(value.clone()),
            Source::Computed(value) => Source::Computed(Arc::clone(value)),
            Source::Fetched(value) => Source::Fetched(Arc::clone(value)),
        })
    }
}

/// Says of what kind it is; values may be secrets.
impl<T> fmt::Debug for Provider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Value(_) => "Provider::value(…)",
            Source::Computed(_) => "Provider::from_fn(…)",
            Source::Fetched(_) => "Provider::from_async(…)",
        })
    }
}
