//! The session of the web application, as far as a page may use it to connect.

use bennu_token::{Session, SessionCookie, Tokens, csrf};
use http::HeaderMap;
use http::header::COOKIE;

use crate::params::Params;

/// Which session `connect` gets to see.
#[derive(Debug, Clone)]
pub(crate) struct SessionOptions {
    pub(crate) cookie: Option<SessionCookie>,
    pub(crate) check_csrf: bool,
    pub(crate) csrf_token_key: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions { cookie: None, check_csrf: true, csrf_token_key: "_csrf_token".to_owned() }
    }
}

impl SessionOptions {
    /// The session of a request, if its cookie is genuine and the page knows its token against
    /// forged requests.
    pub(crate) fn read(&self, tokens: &Tokens, headers: &HeaderMap, params: &Params) -> Option<Session> {
        let cookie = self.cookie.as_ref()?;
        let session = cookie.decode(tokens, value(headers, cookie.name())?)?;
        let trusted = !self.check_csrf || self.is_token_of(&session, params);
        trusted.then_some(session)
    }

    fn is_token_of(&self, session: &Session, params: &Params) -> bool {
        match (session.text(&self.csrf_token_key), params.text("_csrf_token")) {
            (Some(known), Some(sent)) => csrf::is_valid(known, sent),
            _ => false,
        }
    }
}

/// The value of a cookie; of several with the same name the first, which is the one of the longest path.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    // A cookie of somebody else may be no text.
    let mut pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        for (lines, expected) in [
            (&[&b"_app_key=a"[..]][..], Some("a")),
            (&[b"x=1; _app_key=a=b==; y=2"], Some("a=b==")),
            (&[b"x=1;_app_key=a"], Some("a")),
            (&[b"x=1", b"_app_key=a"], Some("a")),
            (&[b"_app_key=first; _app_key=second"], Some("first")),
            (&[b"x=\xff; _app_key=a"], Some("a")),
            (&[b"_app_key= a "], Some(" a")),
            (&[b"my_app_key=a; _app_key2=b; _APP_KEY=c; _app_key"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
            }
            assert_eq!(value(&headers, "_app_key"), expected, "{lines:?}");
        }
    }
}
