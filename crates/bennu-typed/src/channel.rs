//! A channel whose events are types.

use bennu_protocol::Payload;
use bennu_server::{
    Channel, ChannelError, Context, Handled, HandlerResult, Info, JoinRefusal, JoinRequest, Joined,
    TerminateReason,
};

use crate::context::TypedContext;
use crate::event::{ClientEvents, ServerEvents};
use crate::payload::{FromMessage, IntoMessage};
use crate::reply::{Answer, AnswerResult};

/// A [`Channel`] with events, params and responses of types of yours. Mount it as [`Typed`].
///
/// The handlers are those of [`Channel`] and run as they do there. A payload that is not of its
/// type never reaches them: the client gets an error reply, a [`Rejection`](crate::Rejection) that
/// names the field, and the channel goes on. An event that [`In`](Self::In) does not have is
/// unknown, and crashes the channel as in an untyped one.
pub trait TypedChannel: Send + Sized + 'static {
    /// The assigns of the sockets whose clients may join.
    type Assigns: Send + Sync + 'static;

    /// What a client sends along when it joins; [`Empty`](crate::Empty) for nothing.
    #[doc(alias = "payload")]
    type Params: FromMessage + Send;

    /// The response of an accepted join; [`Empty`](crate::Empty) for `{}`.
    type Response: IntoMessage + Send;

    /// The events that a client may send: an enum that derives [`ClientEvents`], or
    /// [`NoEvents`](crate::NoEvents).
    type In: ClientEvents + Send;

    /// The events that clients get: an enum that derives [`ServerEvents`], or
    /// [`NoEvents`](crate::NoEvents).
    type Out: ServerEvents;

    /// As [`Channel::INTERCEPT`].
    #[doc(alias = "intercept")]
    const INTERCEPT: &'static [&'static str] = &[];

    /// Lets a client join the topic, or refuses; as [`Channel::join`].
    fn join(
        request: JoinRequest<Self::Assigns>,
        params: Self::Params,
    ) -> impl Future<Output = Result<(Self, Self::Response), JoinRefusal>> + Send;

    /// Runs when the join reply is on its way; as [`Channel::after_join`].
    fn after_join(
        &mut self,
        cx: &mut TypedContext<'_, Self>,
    ) -> impl Future<Output = Result<(), ChannelError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Handles an event of the client; as [`Channel::handle_in`].
    fn handle_in(
        &mut self,
        event: Self::In,
        cx: &mut TypedContext<'_, Self>,
    ) -> impl Future<Output = AnswerResult> + Send;

    /// Handles a broadcast whose event is in [`INTERCEPT`](Self::INTERCEPT); as
    /// [`Channel::handle_out`]. It stays untyped, since other nodes and programs broadcast too.
    fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut TypedContext<'_, Self>,
    ) -> impl Future<Output = AnswerResult> + Send {
        let pushed = cx.untyped().push(event, payload);
        async {
            pushed?;
            Answer::no_reply()
        }
    }

    /// Handles a message of the application; as [`Channel::handle_info`].
    fn handle_info(
        &mut self,
        info: Info,
        cx: &mut TypedContext<'_, Self>,
    ) -> impl Future<Output = AnswerResult> + Send {
        info.log_unhandled(cx.topic());
        async { Answer::no_reply() }
    }

    /// Runs when the channel ends; as [`Channel::terminate`].
    fn terminate(
        &mut self,
        reason: &TerminateReason,
        cx: &mut TypedContext<'_, Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        async {}
    }
}

/// A [`TypedChannel`] as the [`Channel`] that it is on the wire.
///
/// ```
/// # use bennu::prelude::*;
/// # use bennu::typed::{Empty, NoEvents};
/// # struct RoomChannel;
/// # impl TypedChannel for RoomChannel {
/// #     type Assigns = ();
/// #     type Params = Empty;
/// #     type Response = Empty;
/// #     type In = NoEvents;
/// #     type Out = NoEvents;
/// #     async fn join(_: JoinRequest<()>, _: Empty) -> Result<(Self, Empty), JoinRefusal> {
/// #         Ok((RoomChannel, Empty))
/// #     }
/// #     async fn handle_in(&mut self, event: NoEvents, _: &mut TypedContext<'_, Self>) -> AnswerResult {
/// #         match event {}
/// #     }
/// # }
/// let channels = Channels::new().channel::<Typed<RoomChannel>>("room:*");
/// ```
#[derive(Debug)]
pub struct Typed<C>(C);

impl<C: TypedChannel> Channel for Typed<C> {
    type Assigns = C::Assigns;

    const INTERCEPT: &'static [&'static str] = C::INTERCEPT;

    async fn join(request: JoinRequest<C::Assigns>) -> Result<Joined<Self>, JoinRefusal> {
        let params = C::Params::from_payload(request.payload())?;
        let (channel, response) = C::join(request, params).await?;
        Joined::with_response(Typed(channel), response.into_payload()?)
    }

    async fn after_join(&mut self, cx: &mut Context<C::Assigns>) -> Result<(), ChannelError> {
        self.0.after_join(&mut TypedContext::new(cx)).await
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<C::Assigns>,
    ) -> HandlerResult {
        match C::In::read(event, &payload)? {
            Some(event) => handled(self.0.handle_in(event, &mut TypedContext::new(cx)).await),
            None => Handled::unknown_event(event),
        }
    }

    async fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<C::Assigns>,
    ) -> HandlerResult {
        handled(self.0.handle_out(event, payload, &mut TypedContext::new(cx)).await)
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<C::Assigns>) -> HandlerResult {
        handled(self.0.handle_info(info, &mut TypedContext::new(cx)).await)
    }

    async fn terminate(&mut self, reason: &TerminateReason, cx: &mut Context<C::Assigns>) {
        self.0.terminate(reason, &mut TypedContext::new(cx)).await;
    }
}

fn handled(result: AnswerResult) -> HandlerResult {
    result.map(Answer::into_handled)
}
