mod builder;
mod client;
mod invalid;
mod optional;
mod send_once;
mod server;
mod wrap_errors;

pub use self::builder::ServiceBuilderExt;
pub use self::client::{ClientStack, ClientStackConfig, client_stack};
pub use self::invalid::InvalidStack;
pub use self::optional::Optional;
pub use self::send_once::{SendOnce, SentOnce};
pub use self::server::{ServerStack, ServerStackConfig, server_stack};
pub use self::wrap_errors::{WrapErrors, WrappedErrors, WrappedErrorsFuture};
