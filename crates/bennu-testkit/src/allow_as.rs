//! A socket for tests of channels alone.

use std::fmt;

use bennu_protocol::Topic;
use bennu_server::{ConnectRequest, Connected, Refusal, Socket};

/// A socket that lets everyone in, with assigns that the test makes: for testing a channel
/// without the `connect` of its real socket.
///
/// ```
/// # use bennu_server::{Channel, Channels, Endpoint, JoinRefusal, JoinRequest, Joined, SocketOptions};
/// # struct User { id: u64 }
/// # struct RoomChannel;
/// # impl Channel for RoomChannel {
/// #     type Assigns = User;
/// #     async fn join(_: JoinRequest<User>) -> Result<Joined<Self>, JoinRefusal> { Ok(Joined::new(RoomChannel)) }
/// # }
/// use bennu_pubsub::PubSub;
/// use bennu_testkit::AllowAs;
///
/// let user = AllowAs::new(|| User { id: 7 }).with_id("user_socket:7");
/// let endpoint = Endpoint::builder(PubSub::local())
///     .socket("/socket", user, Channels::new().channel::<RoomChannel>("room:*"), SocketOptions::default())
///     .build()?;
/// # Ok::<(), bennu_server::BuildError>(())
/// ```
#[doc(alias = "socket")]
pub struct AllowAs<F> {
    assigns: F,
    id: Option<Topic>,
}

impl<F> AllowAs<F> {
    /// Each connection gets what `assigns` makes.
    pub fn new<A>(assigns: F) -> Self
    where
        F: Fn() -> A,
    {
        AllowAs { assigns, id: None }
    }

    /// Gives every connection this id.
    #[must_use]
    pub fn with_id(self, id: impl Into<Topic>) -> Self {
        AllowAs { id: Some(id.into()), ..self }
    }
}

impl<A: Send + Sync + 'static, F: Fn() -> A + Send + Sync + 'static> Socket for AllowAs<F> {
    type Assigns = A;

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<A>, Refusal> {
        let connected = Connected::new((self.assigns)());
        Ok(match &self.id {
            Some(id) => connected.with_id(id.clone()),
            None => connected,
        })
    }
}

impl<F> fmt::Debug for AllowAs<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowAs").field("id", &self.id).finish_non_exhaustive()
    }
}
