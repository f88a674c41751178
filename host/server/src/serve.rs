//! Runs the server from its first log line to its last: sockets, signals, shutdown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::api;
use crate::app::{self, App};
use crate::cli::{ListenAddress, ServerArgs};
use crate::config::Reached;
use crate::features::Features;
use crate::otlp;
use crate::telemetry::Telemetry;
use crate::web::listen::{Peer, WebListener};
use crate::web::{self, Web};

/// How long requests under way may take once the server is to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Runs until a signal or a request ends it.
///
/// `flags` are all flags of the command line by name, and `warnings` what to say of them.
pub(crate) async fn serve(
    args: ServerArgs,
    flags: BTreeMap<String, String>,
    warnings: Vec<String>,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(args.log_level, args.log_format);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting stormglass");
    for warning in warnings.into_iter().chain(Features::parse(&args.enable_feature).warnings()) {
        tracing::warn!("{warning}");
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let hang_up = signal(SignalKind::hangup()).context("listen for SIGHUP")?;

    let access = Web::open(args.web_config.as_deref()).context("load the web configuration")?;
    // Sockets come first: a port that is taken should fail the start at once, not after a long replay.
    let mut webs = Vec::new();
    for address in &args.web_listen {
        webs.push(bind(address, "--web.listen-address").await?);
    }
    let grpc = bind(&args.otlp_grpc_listen, "--otlp.grpc.listen-address").await?;
    let http = bind(&args.otlp_http_listen, "--otlp.http.listen-address").await?;
    let addresses: Vec<SocketAddr> = webs.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let otlp_addresses = [grpc.local_addr()?, http.local_addr()?];
    let own = *addresses.first().context("listen somewhere: name an address with --web.listen-address")?;

    let stopping = CancellationToken::new();
    let gate = Gate::default();
    let patience = args.web_read_timeout.0;
    // OTLP has addresses of its own, so that no crowd of browsers keeps senders out.
    let places = Arc::new(Semaphore::new(args.web_connections_max as usize));
    let listener = |socket, places: Option<&Arc<Semaphore>>| WebListener {
        socket,
        web: Arc::clone(&access),
        places: places.cloned(),
        patience,
    };
    let guarded =
        |router: Router| router.layer(middleware::from_fn_with_state(Arc::clone(&access), web::guard));
    let served = |socket| spawn(listener(socket, Some(&places)), guarded(gate.router()), stopping.clone());
    let mut servers: Vec<JoinHandle<()>> = webs.into_iter().map(served).collect();

    let own = Reached {
        address: app::own_address(own),
        scheme: access.scheme(),
        token: access.own_token().to_owned(),
    };
    let start = App::start(args, flags, own);
    let app = tokio::select! {
        app = start => app?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let (spans, forward) = (Arc::clone(&app.spans), Arc::clone(&app.forward));
    telemetry.export_to(Box::new(move |batch| {
        forward.take(&batch);
        spans.take(&batch).map(|_| ()).map_err(|error| error.to_string())
    }));
    gate.open(api::router(&app));
    let grpc_router = otlp::grpc::router(Arc::clone(&app.otlp), app.pushes.clone());
    servers.push(spawn(listener(grpc, None), guarded(grpc_router), stopping.clone()));
    let http_router = otlp::http::router(Arc::clone(&app.otlp), app.pushes.clone());
    servers.push(spawn(listener(http, None), guarded(http_router), stopping.clone()));
    let tasks = app::spawn_tasks(&app);
    announce(access.scheme(), &addresses, otlp_addresses);

    tokio::select! {
        _ = interrupt.recv() => tracing::info!("received SIGINT, stopping"),
        _ = terminate.recv() => tracing::info!("received SIGTERM, stopping"),
        () = app.stopping.cancelled() => tracing::info!("asked to stop through HTTP, stopping"),
        () = reload_on(hang_up, &app) => {}
    }
    app.stop();
    app.stop_collecting().await;
    stopping.cancel();
    drain(servers.into_iter().chain(tasks).collect()).await;
    app.stop_alerting().await;
    app.stop_sending().await;
    // The last spans go into a store that is still open.
    tokio::task::block_in_place(|| telemetry.flush());
    app.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: &ListenAddress, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address.as_host_port())
        .await
        .with_context(|| format!("listen on {address}: choose another address with {flag}"))
}

fn announce(scheme: &str, addresses: &[SocketAddr], [grpc, http]: [SocketAddr; 2]) {
    let Some((web, more)) = addresses.split_first() else { return };
    tracing::info!(address = %web, otlp_grpc = %grpc, otlp_http = %http, "Listening on");
    for address in more {
        tracing::info!(%address, "Listening on");
    }
    tracing::info!("Server is ready to receive web requests.");
    eprintln!(
        "\nStormglass is at {scheme}://{web} (OTLP at {grpc} for gRPC and {http} for HTTP). A query to try:\n\n    \
         curl -s '{scheme}://{web}/api/v1/query?query=up'\n"
    );
}

/// Serves one address. People write the URLs of the API, and queries take turns by where they come from.
fn spawn(listener: WebListener, router: Router, stopping: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move {
        let served = axum::serve(listener, service);
        if let Err(error) = served.with_graceful_shutdown(stopping.cancelled_owned()).await {
            tracing::error!(%error, "a listener ended");
        }
    })
}

/// Reloads at every SIGHUP. Never returns.
async fn reload_on(mut hang_up: Signal, app: &Arc<App>) {
    while hang_up.recv().await.is_some() {
        // What went wrong is logged where it is found; the old configuration goes on.
        let _ = app.reload().await;
    }
    std::future::pending::<()>().await;
}

/// Waits for requests and regular work to end, but not for ever.
async fn drain(tasks: Vec<JoinHandle<()>>) {
    let all = async {
        for task in tasks {
            let _ = task.await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, all).await.is_err() {
        tracing::warn!("gave up on requests that would not end");
    }
}

/// Stands before the API while storage is being replayed: alive, but not ready.
#[derive(Clone, Default)]
struct Gate(Arc<OnceLock<Router>>);

impl Gate {
    fn router(&self) -> Router {
        Router::new().fallback(pass).with_state(self.clone())
    }

    /// Lets requests through from now on.
    fn open(&self, router: Router) {
        // There is one API to open it for, so that the first call is the only one.
        let _ = self.0.set(router);
    }
}

async fn pass(State(gate): State<Gate>, request: Request) -> Response {
    match gate.0.get() {
        Some(router) => router.clone().oneshot(request).await.into_response(),
        None if request.uri().path().ends_with("/-/healthy") => "Stormglass is Healthy.\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response(),
    }
}
