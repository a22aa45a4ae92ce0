//! A port of the loopback interface that nobody else gets, whether somebody listens there or not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

pub(crate) struct Port {
    address: SocketAddr,
    /// Bound to it, and never listens: while nobody else does, the kernel refuses connections, and gives the port to nobody.
    _keeper: TcpSocket,
}

impl Port {
    pub(crate) fn keep() -> io::Result<Self> {
        let keeper = bound((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: keeper.local_addr()?, _keeper: keeper })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        bound(self.address)?.listen(1024)
    }
}

/// A socket on `address`, which others like it may share as long as only one listens.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
