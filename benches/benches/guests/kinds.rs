//! Each kind's call, through the host and with wasmtime alone: with nothing to hand over, which is what a call costs, and with
//! much, which is what handing over costs beyond that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin::{Chunk, Instance, Payload, PluginConfig};

use super::bare::stormglass::types::types;
use super::bare::{Bare, Program, exports};
use super::{Guests, ITEMS, Report, Result, TIMEOUT, entry, host, inputs, median};

/// Points of a function's call: a hundred series over a thousand steps.
const POINTS: usize = 100_000;
/// Calls of which the median is told.
const CALLS: usize = 101;
/// For no longer than this a call is repeated.
const BUDGET: Duration = Duration::from_secs(2);

/// Loads an interface of an instance without the host: what the generator makes of each has no trait in common.
macro_rules! interface {
    ($program:expr, $bare:expr, $name:ident) => {
        exports::$name::GuestIndices::new(&$program.pre)?.load(&mut $bare.store, &$bare.instance)?
    };
}

/// One row of one language.
struct Row<'a> {
    what: String,
    language: &'a str,
}

impl Report {
    /// Makes a call both ways, in turns, and tells the medians. Both give how large the answer was, which has to be the same.
    /// `make` is not timed.
    async fn compare<T>(
        &mut self,
        row: Row<'_>,
        mut make: impl FnMut() -> T,
        mut ours: impl AsyncFnMut(T) -> Result<usize>,
        mut theirs: impl AsyncFnMut() -> Result<usize>,
    ) -> Result<()> {
        let Row { what, language } = row;
        let (mut through_host, mut alone) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while through_host.len() < self.scale.pick(2, CALLS) && begun.elapsed() < BUDGET {
            let argument = make();
            let started = Instant::now();
            let found = ours(argument).await?;
            through_host.push(started.elapsed());
            let started = Instant::now();
            let expected = theirs().await?;
            alone.push(started.elapsed());
            if found != expected {
                return Err(format!("{what}, {language}: {found}, without the host {expected}").into());
            }
            if through_host.len() == 1 {
                self.fingerprint.number(found as u64);
            }
        }
        let micros = |times| median(times).as_secs_f64() * 1e6;
        let (through_host, alone) = (micros(through_host), micros(alone));
        let cell = format!("{through_host:.0} - {alone:.0} = **{:.0}**", through_host - alone);
        self.table.set(&what, language, cell);
        Ok(())
    }
}

/// All kinds of one language.
pub(crate) async fn calls(guests: &Guests, report: &mut Report) -> Result<()> {
    let registry = prometheus::Registry::new();
    let host = host(&registry, None)?;
    let program = Program::load(&guests.plugin)?;
    for items in [0, report.scale.pick(10, ITEMS)] {
        let entry = entry(&format!("with-{items}"), &guests.plugin, items)?;
        let mut bare = program.start(&entry.config.to_string()).await?;
        let instance = host.start(entry).await?;
        asked(guests, items, &instance, (&program, &mut bare), report).await?;
        handed_over(guests, items, &instance, (&program, &mut bare), report).await?;
    }
    let file = guests.functions.to_str().ok_or("the folder's name is not UTF-8")?;
    let program = Program::load(&guests.functions)?;
    let mut bare = program.start("{}").await?;
    let instance = host.start(PluginConfig::of(file)).await?;
    functions(guests, &instance, (&program, &mut bare), report).await
}

/// Kinds that are asked for something.
async fn asked(
    guests: &Guests,
    items: usize,
    instance: &Arc<Instance>,
    (program, bare): (&Program, &mut Bare),
    report: &mut Report,
) -> Result<()> {
    let row = |what: &str| Row { what: format!("{what}, {items}"), language: &guests.language };
    let collector = interface!(program, bare, collector);
    report
        .compare(
            row("collector, series"),
            || (),
            async |()| Ok(size(&instance.collect(TIMEOUT).await?)),
            async || {
                let answer = collector.call_collect(&mut bare.store, TIMEOUT.as_millis() as u64).await?;
                Ok(collected(&answer.map_err(|error| error.message)?))
            },
        )
        .await?;
    let prober = interface!(program, bare, prober);
    let parameters = inputs::parameters(items);
    let theirs = inputs::labels_out(&parameters);
    report
        .compare(
            row("prober, parameters"),
            || parameters.clone(),
            async |given| Ok(size(&instance.probe("target".to_owned(), given, TIMEOUT).await?)),
            async || {
                let probe = prober.call_probe(&mut bare.store, "target", &theirs, TIMEOUT.as_millis() as u64);
                Ok(probed(&probe.await?.map_err(|error| error.message)?))
            },
        )
        .await?;
    let discoverer = interface!(program, bare, discoverer);
    report
        .compare(
            row("discoverer, targets"),
            || (),
            async |()| Ok(instance.poll().await?.groups.iter().map(|group| group.targets.len()).sum()),
            async || {
                let found = discoverer.call_poll(&mut bare.store).await?.map_err(|error| error.message)?;
                Ok(found.groups.iter().map(|group| group.targets.len()).sum())
            },
        )
        .await
}

/// Kinds that are given something to work on.
async fn handed_over(
    guests: &Guests,
    items: usize,
    instance: &Arc<Instance>,
    (program, bare): (&Program, &mut Bare),
    report: &mut Report,
) -> Result<()> {
    let row = |what: &str| Row { what: format!("{what}, {items}"), language: &guests.language };
    let receiver = interface!(program, bare, receiver);
    // There is no group without an alert.
    let notification = inputs::notification(items.max(1));
    let theirs = inputs::notification_out(&notification);
    report
        .compare(
            row("receiver, alerts"),
            || notification.clone(),
            async |given| Ok(instance.notify(given).await.map(|()| 0)?),
            async || {
                let told = receiver.call_notify(&mut bare.store, &theirs).await?;
                Ok(told.map(|()| 0).map_err(|error| error.message)?)
            },
        )
        .await?;
    let detector = interface!(program, bare, detector);
    let job = inputs::job(items);
    let theirs = inputs::job_out(job.clone());
    report
        .compare(
            row("detector, series of 60 steps"),
            || job.clone(),
            async |given| Ok(instance.detect(given).await?.scores.len()),
            async || {
                let found = detector.call_detect(&mut bare.store, &theirs).await?;
                Ok(found.map_err(|error| error.message)?.scores.len())
            },
        )
        .await?;
    let chunk = || Chunk { data: inputs::lines(items), last: true, ..Chunk::default() };
    let decoder = interface!(program, bare, decoder);
    let theirs = exports::decoder::Chunk {
        data: inputs::lines(items),
        datagram_ends: Vec::new(),
        content_type: String::new(),
        last: true,
    };
    report
        .compare(
            row("decoder, lines"),
            chunk,
            async |given| Ok(instance.decode(given).await?.columns.series_count()),
            async || {
                let found = decoder.call_decode(&mut bare.store, &theirs).await?;
                Ok(found.map_err(|error| error.message)?.batch.label_ends.len())
            },
        )
        .await?;
    // What came of the lines goes through the processor.
    let columns = instance.decode(chunk()).await?.columns;
    let decoded = decoder.call_decode(&mut bare.store, &theirs).await?.map_err(|error| error.message)?;
    let processor = interface!(program, bare, sample_processor);
    report
        .compare(
            row("sample processor, series"),
            || columns.clone(),
            async |given| Ok(instance.process_samples(given).await?.series_count()),
            async || {
                let kept = processor.call_process(&mut bare.store, &decoded.batch).await?;
                Ok(kept.map_err(|error| error.message)?.label_ends.len())
            },
        )
        .await?;
    let spans = inputs::spans(items);
    let theirs = inputs::spans_out(&spans);
    let processor = interface!(program, bare, span_processor);
    report
        .compare(
            row("span processor, spans"),
            || (),
            async |()| Ok(instance.process_spans(&spans).await?.len()),
            async || {
                let kept = processor.call_process(&mut bare.store, &theirs).await?;
                Ok(kept.map_err(|error| error.message)?.spans.len())
            },
        )
        .await?;
    // Last, since what is learnt is loaded from then on.
    let trainer = interface!(program, bare, trainer);
    let theirs = inputs::history_out(job.clone());
    report
        .compare(
            row("trainer, series of 60 steps"),
            || job.clone(),
            // Each time it knows more, and one way knows no more than the other.
            async |given| instance.train(given, &[]).await.map(|()| 0).map_err(Into::into),
            async || {
                let learnt = trainer.call_train(&mut bare.store, &theirs, &[]).await?;
                Ok(learnt.map(|_| 0).map_err(|error| error.message)?)
            },
        )
        .await
}

async fn functions(
    guests: &Guests,
    instance: &Arc<Instance>,
    (program, bare): (&Program, &mut Bare),
    report: &mut Report,
) -> Result<()> {
    let function = interface!(program, bare, function);
    for points in [1, report.scale.pick(1_000, POINTS)] {
        let call = inputs::function_call(points);
        let theirs = inputs::function_call_out(call.clone());
        let row = Row { what: format!("function, points, {points}"), language: &guests.language };
        report
            .compare(
                row,
                || call.clone(),
                async |given| Ok(instance.eval(inputs::FUNCTION.to_owned(), given, TIMEOUT).await?.len()),
                async || {
                    let found = function.call_eval(&mut bare.store, &theirs).await?;
                    Ok(found.map_err(|error| error.message)?.len())
                },
            )
            .await?;
    }
    Ok(())
}

fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Text(text) => text.len(),
        Payload::Columns(columns) => columns.series_count(),
        Payload::Protobuf(bytes) => bytes.len(),
    }
}

fn collected(payload: &exports::collector::Payload) -> usize {
    match payload {
        exports::collector::Payload::Text(text) => text.len(),
        exports::collector::Payload::Columns(batch) => batch.label_ends.len(),
        exports::collector::Payload::Protobuf(bytes) => bytes.len(),
    }
}

fn probed(payload: &types::Payload) -> usize {
    match payload {
        types::Payload::Text(text) => text.len(),
        types::Payload::Columns(batch) => batch.label_ends.len(),
        types::Payload::Protobuf(bytes) => bytes.len(),
    }
}
