//! Datagrams: gathered for a moment, so that a call has more than one.

use std::sync::Arc;

use plugin::Chunk;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Current, Shared};

/// The largest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

pub(super) async fn listen(
    socket: UdpSocket,
    current: Arc<Current>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let mut chunk = Chunk { last: true, ..Chunk::default() };
        let first = tokio::select! {
            biased;
            received = socket.recv(&mut buffer) => received,
            () = stop.cancelled() => return,
        };
        add(&mut chunk, &buffer, first);
        let until = Instant::now() + current.decoder().config.gather.0;
        while chunk.data.len() < current.message_bytes_max() {
            let received = tokio::select! {
                received = timeout_at(until, socket.recv(&mut buffer)) => received,
                () = stop.cancelled() => break,
            };
            let Ok(received) = received else { break };
            add(&mut chunk, &buffer, received);
        }
        let size = chunk.data.len();
        if size > 0 {
            // A failure is counted, told once by the host, and nobody else waits for it.
            let _ = shared.take(&current, "udp", size, chunk).await;
        }
    }
}

/// Adds a datagram. An error of the socket is about one that was sent before, as when its receiver is gone.
fn add(chunk: &mut Chunk, buffer: &[u8], received: std::io::Result<usize>) {
    if let Ok(data) = received.map(|size| buffer.get(..size).unwrap_or_default()) {
        chunk.data.extend_from_slice(data);
        chunk.datagram_ends.push(u32::try_from(chunk.data.len()).unwrap_or(u32::MAX));
    }
}
