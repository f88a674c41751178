//! Connections: each a stream that the decoder takes as much of as it understands.

use std::sync::Arc;

use plugin::Chunk;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Current, Shared};

/// How much is read at a time.
const READ_BYTES: usize = 64 << 10;

pub(super) async fn listen(
    listener: TcpListener,
    current: Arc<Current>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors, most likely: others must close theirs first.
                    tokio::task::yield_now().await;
                    continue;
                };
                // Over the limit a connection is closed at once, which tells its sender more than silence.
                let Ok(place) = Arc::clone(&current.connections).try_acquire_owned() else { continue };
                let (current, shared, stop) = (Arc::clone(&current), Arc::clone(&shared), stop.clone());
                connections.spawn(async move {
                    let _place = place;
                    let name = current.decoder().name.clone();
                    let open = shared.metrics.connections.with_label_values(&[&*name]);
                    open.inc();
                    serve(stream, &current, &shared, &stop).await;
                    open.dec();
                });
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve(mut stream: TcpStream, current: &Current, shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut data = Vec::new();
    loop {
        data.reserve(READ_BYTES);
        let idle = current.decoder().config.idle.0;
        let before = data.len();
        let read = tokio::select! {
            read = tokio::time::timeout(idle, stream.read_buf(&mut data)) => read.unwrap_or(Ok(0)),
            () = stop.cancelled() => Ok(0),
        };
        let last = matches!(read, Ok(0) | Err(_));
        if data.is_empty() {
            if last {
                return;
            }
            continue;
        }
        let chunk = Chunk { data: std::mem::take(&mut data), last, ..Chunk::default() };
        let (size, kept) = (chunk.data.len(), chunk.data.clone());
        let taken = shared.take(current, "tcp", size - before, chunk).await;
        let Ok(taken) = taken else { return };
        if last {
            return;
        }
        data = kept;
        data.drain(..taken.consumed.min(data.len()));
        if data.len() > current.message_bytes_max() {
            let lost =
                shared.metrics.failed.with_label_values(&[&*current.decoder().name, "message too long"]);
            lost.inc_by(data.len() as u64);
            return;
        }
    }
}
