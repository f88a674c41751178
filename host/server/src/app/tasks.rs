//! What happens at regular times for as long as the server runs: syncing, maintenance, span metrics.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use model::Timestamp;
use storage::Storage;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{App, SYNC_INTERVAL};
use crate::config::files::Watched;
use crate::features::Features;
use crate::memory;
use crate::notifier;
use crate::spans::SpanIntake;

/// How often blocks are cut and retention is looked at.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is asked whether a block is to be cut. At the pace of the clock that is once in hours, in a backfill
/// every few seconds, between which the head takes memory.
const CUT_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How often span metrics are written.
const SPAN_METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// How often it is counted how many series there are of what.
const GROWTH_INTERVAL: Duration = Duration::from_secs(60);

/// How often memory is given back that the allocator keeps.
const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(60);

/// Files of the configuration are looked at no more often than this, as in Prometheus.
const AUTO_RELOAD_INTERVAL_MIN: Duration = Duration::from_secs(1);

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Starts all of it; the tasks end when the server stops.
pub(crate) fn spawn(app: &Arc<App>) -> Vec<JoinHandle<()>> {
    vec![
        every(app, SYNC_INTERVAL, sync),
        every(app, MAINTENANCE_INTERVAL, maintain),
        every(app, CUT_LOOK_INTERVAL, maintain_if_cut_is_due),
        every(app, SPAN_METRICS_INTERVAL, flush_spans),
        every(app, GROWTH_INTERVAL, note_growth),
        // Keeps the process within its memory budget.
        every(app, memory::INTERVAL, |app| app.memory.watch()),
        // What queries took lies among what stays.
        every(app, GIVE_BACK_INTERVAL, |_| memory::give_back()),
        tokio::spawn(find_alertmanagers(Arc::clone(app))),
        tokio::spawn(watch_plugins(Arc::clone(app))),
        tokio::spawn(watch_config(Arc::clone(app))),
        tokio::spawn(write_pushed(Arc::clone(app))),
    ]
}

fn every(app: &Arc<App>, interval: Duration, work: fn(&App)) -> JoinHandle<()> {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let app = Arc::clone(&app);
            if let Err(error) = tokio::task::spawn_blocking(move || work(&app)).await {
                tracing::error!(%error, "regular work failed unexpectedly");
            }
        }
    })
}

/// Takes over the Alertmanagers that discovery finds.
async fn find_alertmanagers(app: Arc<App>) {
    let mut ticks = tokio::time::interval(notifier::DISCOVERY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = ticks.tick() => app.notifier.discover(&app.scrape),
        }
    }
}

/// Takes new builds of plugins into use as they appear.
async fn watch_plugins(app: Arc<App>) {
    loop {
        let changed = tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = app.plugins.changed() => changed,
        };
        let plugins = changed.join(", ");
        match app.refresh_plugins().await {
            Ok(()) => tracing::info!(plugins, "plugin files have changed and are in use"),
            Err(error) => {
                tracing::error!(plugins, "plugin files have changed; the old ones go on: {error:#}");
            }
        }
    }
}

/// Applies the configuration whenever one of its files changes, where that is asked for.
async fn watch_config(app: Arc<App>) {
    let enabled = app.args.auto_reload || Features::parse(&app.args.enable_feature).auto_reload();
    let Some(path) = app.args.config_file.clone().filter(|_| enabled) else { return };
    // Nobody else reads files here, so that the first look may take its time.
    let mut watched = Watched::new(path);
    let mut ticks = tokio::time::interval(app.args.auto_reload_interval.0.max(AUTO_RELOAD_INTERVAL_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let changed = watched.changed();
            (watched, changed)
        });
        let Ok((after, changed)) = looked.await else { return };
        watched = after;
        if changed {
            tracing::info!("configuration files have changed");
            // What goes wrong is logged where it is found; the old configuration goes on.
            let _ = app.reload().await;
        }
    }
}

/// Writes what was pushed, at the interval at which targets are scraped, and at once when it changes.
async fn write_pushed(app: Arc<App>) {
    loop {
        let writing = Arc::clone(&app);
        let written = tokio::task::spawn_blocking(move || writing.push.write(&writing.storage, now())).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "pushed metrics were not written"),
            Err(error) => tracing::error!(%error, "pushed metrics were not written"),
        }
        let interval = app.config().global.scrape_interval.0;
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = app.push.changed() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

fn sync(app: &App) {
    if let Err(error) = app.storage.tsdb().sync() {
        tracing::error!(%error, "the log was not synced");
    }
    if let Err(error) = app.spans.store.sync() {
        tracing::error!(%error, "the traces were not synced");
    }
}

fn maintain(app: &App) {
    let started = Instant::now();
    let outcome = app.storage.tsdb().maintain();
    app.gauges.maintained(&outcome, started.elapsed());
    match outcome {
        Ok(report) if report == Default::default() => {}
        Ok(report) => {
            tracing::info!(?report, "maintained the metrics");
            if report.segments_unread > 0 {
                tracing::warn!(
                    segments = report.segments_unread,
                    "the oldest log was removed before all of it was sent; raise --storage.remote.log-kept for receivers \
                     that are away for longer"
                );
            }
            // What was cut, merged or let go of lay in memory among what stays.
            memory::give_back();
        }
        Err(error) => tracing::error!(%error, "the metrics were not maintained"),
    }
    if let Err(error) = app.spans.store.maintain(now()) {
        tracing::error!(%error, "the traces were not maintained");
    }
}

fn maintain_if_cut_is_due(app: &App) {
    if app.storage.tsdb().is_cut_due() {
        maintain(app);
    }
}

fn note_growth(app: &App) {
    app.storage.tsdb().note_growth();
}

fn flush_spans(app: &App) {
    flush(&app.storage, &app.spans);
}

fn flush(storage: &Storage, spans: &SpanIntake) {
    match spans.metrics.flush(now(), storage) {
        Ok(flushed) if flushed.refused > 0 => {
            tracing::warn!(refused = flushed.refused, "storage refused some span metrics");
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "span metrics were not written"),
    }
}

/// Writes what is still in memory and closes storage for good.
pub(super) fn close(storage: &Storage, spans: &SpanIntake) {
    flush(storage, spans);
    if let Err(error) = storage.tsdb().close() {
        tracing::error!(%error, "the metrics were not closed cleanly");
    }
    if let Err(error) = spans.store.sync() {
        tracing::error!(%error, "the traces were not synced");
    }
}
