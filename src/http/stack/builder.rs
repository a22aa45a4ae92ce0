use tower::ServiceBuilder;
use tower::layer::util::Stack;

use super::{ClientStack, ServerStack};

/// What a builder becomes.
type With<N, L> = ServiceBuilder<Stack<N, L>>;

/// The ready stacks in a `ServiceBuilder`. Beside tower-http's trait of the same name, import it `as _`.
///
/// ```
/// use buttress::Check;
/// use buttress::http::{ClientStackConfig, ServiceBuilderExt, client_stack};
/// use http::Request;
/// use http_body_util::Full;
/// use hyper::body::Bytes;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), buttress::http::InvalidStack> {
/// let client = ServiceBuilder::new()
///     .client_stack(client_stack(ClientStackConfig::new())?)
///     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
///     .check::<Request<Full<Bytes>>>();
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
pub trait ServiceBuilderExt<L> {
    /// Goes around a client; see [`client_stack`](super::client_stack).
    fn client_stack<F, T, R, B, A, E>(
        self,
        stack: ClientStack<F, T, R, B, A, E>,
    ) -> With<ClientStack<F, T, R, B, A, E>, L>;

    /// Goes around a server; see [`server_stack`](super::server_stack).
    fn server_stack<Q, I, D, Y>(self, stack: ServerStack<Q, I, D, Y>) -> With<ServerStack<Q, I, D, Y>, L>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn client_stack<F, T, R, B, A, E>(
        self,
        stack: ClientStack<F, T, R, B, A, E>,
    ) -> With<ClientStack<F, T, R, B, A, E>, L> {
        self.layer(stack)
    }

    fn server_stack<Q, I, D, Y>(self, stack: ServerStack<Q, I, D, Y>) -> With<ServerStack<Q, I, D, Y>, L> {
        self.layer(stack)
    }
}
