//! The assertions. Macros, so that a failure points at the test's own line.

/// Asserts that an event comes to the client within 100 ms, and gives its [`Received`](crate::Received) payload.
///
/// It may be a push of the channel, a broadcast on its topic, or the protocol's own `phx_close`
/// and `phx_error`. Takes the first that matches, so that a second assertion needs a second push;
/// the order between different events is free. See [`Pattern`](crate::Pattern) for the payload.
///
/// ```
/// # use serde::Deserialize;
/// # use bennu_testkit::{TestChannel, assert_push};
/// # #[derive(Deserialize)] struct Message { id: u64 }
/// # async fn example(room: TestChannel) {
/// assert_push!(room, "presence_state");
/// let message = assert_push!(room, "message:new", {"body": "hello"});
/// assert_eq!(message["user_id"], 7);
/// assert_push!(room, "message:new", |message: Message| message.id > 1);
/// # }
/// ```
///
/// # Panics
///
/// When it does not come, with a list of what did.
#[macro_export]
macro_rules! assert_push {
    ($channel:expr, $event:expr $(,)?) => { $crate::assert_push!($channel, $event, _) };
    ($channel:expr, $event:expr, $($pattern:tt)+) => {
        $crate::__hold!($channel.expect_push($event, $crate::pattern!($($pattern)+)))
    };
}

/// Asserts that no such event comes to the client within 100 ms; see [`assert_push!`](crate::assert_push).
///
/// # Panics
///
/// When it comes.
#[macro_export]
macro_rules! refute_push {
    ($channel:expr, $event:expr $(,)?) => { $crate::refute_push!($channel, $event, _) };
    ($channel:expr, $event:expr, $($pattern:tt)+) => {
        $crate::__hold!($channel.refute_push($event, $crate::pattern!($($pattern)+)))
    };
}

/// Asserts that a message is answered with this status within 100 ms, and gives the
/// [`Received`](crate::Received) response.
///
/// ```
/// # use serde_json::json;
/// # use bennu_testkit::{TestChannel, assert_reply};
/// # async fn example(room: TestChannel) {
/// let reference = room.push("message:new", json!({"body": ""}));
/// assert_reply!(room, reference, "error", {"errors": {"body": ["can't be blank"]}});
/// # }
/// ```
///
/// # Panics
///
/// When it is not, with a list of what arrived.
#[macro_export]
macro_rules! assert_reply {
    ($channel:expr, $to:expr, $status:expr $(,)?) => { $crate::assert_reply!($channel, $to, $status, _) };
    ($channel:expr, $to:expr, $status:expr, $($pattern:tt)+) => {
        $crate::__hold!($channel.expect_reply($to, Some($status), $crate::pattern!($($pattern)+)))
    };
}

/// Asserts that a message is not answered, or not with this status and payload, within 100 ms.
///
/// # Panics
///
/// When it is.
#[macro_export]
macro_rules! refute_reply {
    ($channel:expr, $to:expr $(,)?) => {
        $crate::__hold!($channel.refute_reply($to, None, $crate::Pattern::any()))
    };
    ($channel:expr, $to:expr, $status:expr $(,)?) => { $crate::refute_reply!($channel, $to, $status, _) };
    ($channel:expr, $to:expr, $status:expr, $($pattern:tt)+) => {
        $crate::__hold!($channel.refute_reply($to, Some($status), $crate::pattern!($($pattern)+)))
    };
}

/// Asserts that an event is broadcast on the topic within 100 ms, whatever becomes of it on
/// its way to the client, and gives its [`Received`](crate::Received) payload. The channel was
/// joined with [`subscribe_and_join`](crate::TestSocket::subscribe_and_join).
///
/// # Panics
///
/// When it is not, with a list of what arrived; when the channel was joined without subscribing.
#[macro_export]
macro_rules! assert_broadcast {
    ($channel:expr, $event:expr $(,)?) => { $crate::assert_broadcast!($channel, $event, _) };
    ($channel:expr, $event:expr, $($pattern:tt)+) => {
        $crate::__hold!($channel.expect_broadcast($event, $crate::pattern!($($pattern)+)))
    };
}

/// Asserts that no such event is broadcast within 100 ms; see [`assert_broadcast!`](crate::assert_broadcast).
///
/// # Panics
///
/// When it is; when the channel was joined without subscribing.
#[macro_export]
macro_rules! refute_broadcast {
    ($channel:expr, $event:expr $(,)?) => { $crate::refute_broadcast!($channel, $event, _) };
    ($channel:expr, $event:expr, $($pattern:tt)+) => {
        $crate::__hold!($channel.refute_broadcast($event, $crate::pattern!($($pattern)+)))
    };
}

/// Asserts that the server closes a client's connection within 100 ms, with this code if one is given.
///
/// ```
/// # use bennu_server::Endpoint;
/// # use bennu_testkit::{TestSocket, assert_closed};
/// # async fn example(endpoint: Endpoint, socket: TestSocket) {
/// endpoint.disconnect("user_socket:42");
/// assert_closed!(socket, 1001);
/// # }
/// ```
///
/// # Panics
///
/// When it does not, with a list of what arrived.
#[macro_export]
macro_rules! assert_closed {
    ($socket:expr $(,)?) => {
        $crate::__hold!($socket.expect_closed(None))
    };
    ($socket:expr, $code:expr $(,)?) => {
        $crate::__hold!($socket.expect_closed(Some($code)))
    };
}

/// Asserts that a client's connection stays open for 100 ms.
///
/// # Panics
///
/// When it is closed.
#[macro_export]
macro_rules! refute_closed {
    ($socket:expr $(,)?) => {
        $crate::__hold!($socket.refute_closed())
    };
}

/// The [`Pattern`](crate::Pattern) that the assertions make of their last argument.
#[macro_export]
macro_rules! pattern {
    (_ $(,)?) => {
        $crate::Pattern::any()
    };
    ({ $($members:tt)* } $(,)?) => {
        $crate::IntoPattern::into_pattern($crate::__json!({ $($members)* }))
    };
    ([ $($elements:tt)* ] $(,)?) => {
        $crate::IntoPattern::into_pattern($crate::__json!([ $($elements)* ]))
    };
    ($pattern:expr $(,)?) => {
        $crate::IntoPattern::into_pattern($pattern).written(stringify!($pattern))
    };
}

/// Awaits, and panics on the test's own line.
#[doc(hidden)]
#[macro_export]
macro_rules! __hold {
    ($assertion:expr) => {
        match $assertion.await {
            Ok(held) => held,
            Err(unmet) => panic!("{unmet}"),
        }
    };
}
