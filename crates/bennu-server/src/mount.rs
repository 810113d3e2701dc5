//! Where a socket is mounted.

use std::sync::Arc;

use bennu_protocol::{SessionConfig, TopicPattern};

use crate::config::SocketOptions;
use crate::history::History;
use crate::metrics::MountMetrics;
use crate::params::Params;
use crate::router::Route;
use crate::socket::AnySocket;
use crate::transport::longpoll::LongPollMount;

/// One socket at one path, with options of its own.
pub(crate) struct Mount {
    /// Where it is mounted, as the builder was told.
    pub(crate) base: String,
    /// Where its WebSocket is, unless it has none.
    pub(crate) websocket: Option<PathPattern>,
    pub(crate) longpoll: Option<LongPollMount>,
    pub(crate) socket: Box<dyn AnySocket>,
    pub(crate) routes: Vec<Route>,
    /// For each route, how many bytes of a topic its pattern fixes.
    pub(crate) prefixes: Vec<usize>,
    pub(crate) options: SocketOptions,
    pub(crate) session: Arc<SessionConfig>,
    pub(crate) metrics: MountMetrics,
}

impl Mount {
    /// What the route that serves a topic keeps of it.
    pub(crate) fn history(&self, topic: &str) -> Option<&Arc<History>> {
        let route = self.session.patterns.iter().position(|pattern| pattern.matches(topic))?;
        self.routes[route].history.as_ref()
    }

    pub(crate) fn session_config(patterns: Vec<TopicPattern>, options: &SocketOptions) -> Arc<SessionConfig> {
        Arc::new(SessionConfig {
            patterns,
            max_channels: options.max_channels,
            join_ref_rule: options.join_ref_rule,
            idle_timeout: options.timeout,
            errors_unmatched: false,
        })
    }

    /// All paths that it answers.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathPattern> {
        self.websocket.iter().chain(self.longpoll.iter().map(|longpoll| &longpoll.path))
    }
}

/// A path whose segments are fixed or `:name` variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Fixed(String),
    /// Bound under this name, unless it starts with `_`.
    Variable(String),
}

impl PathPattern {
    /// Base path and sub-path in one.
    pub(crate) fn new(base: &str, path: &str) -> Self {
        let segments = segments(base).chain(segments(path));
        PathPattern(
            segments
                .map(|segment| match segment.strip_prefix(':') {
                    Some(name) => Segment::Variable(name.to_owned()),
                    None => Segment::Fixed(segment.to_owned()),
                })
                .collect(),
        )
    }

    /// The variables of a path that matches; empty segments of the path do not count.
    pub(crate) fn matches<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut variables = Vec::new();
        let mut given = segments(path);
        for segment in &self.0 {
            match (segment, given.next()?) {
                (Segment::Fixed(text), given) if *text == given => {}
                (Segment::Fixed(_), _) => return None,
                (Segment::Variable(name), given) => variables.push((name.as_str(), given)),
            }
        }
        given.next().is_none().then_some(variables)
    }

    /// Puts the variables over the query parameters of the same name.
    pub(crate) fn bind(variables: &[(&str, &str)], params: &mut Params) {
        for (name, value) in variables.iter().filter(|(name, _)| !name.starts_with('_')) {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            params.set(*name, value);
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_their_segments() {
        let plain = PathPattern::new("/socket", "/websocket");
        for (path, expected) in [
            ("/socket/websocket", true),
            ("/socket/websocket/", true),
            ("//socket//websocket", true),
            ("/socket", false),
            ("/socket/websocket/more", false),
            ("/%73ocket/websocket", false),
        ] {
            assert_eq!(plain.matches(path).is_some(), expected, "{path}");
        }
    }

    #[test]
    fn variables_are_bound_over_the_query() {
        let pattern = PathPattern::new("/idle/:pid/:_hidden", "websocket");
        let variables = pattern.matches("/idle/7%207/x/websocket").unwrap();
        let mut params = Params::decode("pid=9").unwrap();
        PathPattern::bind(&variables, &mut params);
        assert_eq!(params.text("pid"), Some("7 7"));
        assert_eq!(params.text("_hidden"), None);
    }
}
