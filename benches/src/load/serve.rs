//! The targets as pages to be scraped: `/targets/N/metrics`, and `/targets` for `http_sd_configs`, which says where
//! they are and what they are labelled.
//!
//! HTTP/1.1 on threads, as much of it as a scraper on the same machine needs.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use formats::exposition::write_sample;

use super::request::{JOB, instance};
use super::{Load, Recording, Target};

/// A scraper that says nothing for so long is gone.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Longer lines than any scraper's.
const LINE_BYTES_MAX: u64 = 16 << 10;

struct Pages {
    load: Load,
    recording: Recording,
    started: Instant,
    /// Each target and how often it has advanced.
    targets: Vec<Mutex<(usize, Target)>>,
}

impl Pages {
    fn page(&self, number: usize) -> Option<String> {
        let mut target = self.targets.get(number)?.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (self.started.elapsed().as_millis() / self.load.interval.as_millis().max(1)) as usize;
        while target.0 < due {
            target.1.advance(&self.recording);
            target.0 += 1;
        }
        let mut values = Vec::new();
        target.1.values(&self.recording, &mut values);
        drop(target);
        let mut page = String::new();
        for (series, value) in self.recording.series.iter().zip(values) {
            page.push_str(&series.comments);
            write_sample(&mut page, &series.labels, value, None);
        }
        Some(page)
    }

    /// As `http_sd_configs` expects it.
    fn discovery(&self, host: &str) -> String {
        let elapsed = self.started.elapsed();
        let mut groups = String::from("[");
        for number in 0..self.load.targets {
            let _ = write!(
                groups,
                "{}{{\"targets\":[\"{host}\"],\"labels\":{{\"__metrics_path__\":\"/targets/{number}/metrics\",\
                 \"job\":\"{JOB}\",\"instance\":\"{}\",\"revision\":\"r{}\"}}}}",
                if number > 0 { "," } else { "" },
                instance(number),
                self.load.revision(number, elapsed),
            );
        }
        groups + "]"
    }

    /// Content type and body of what is at a path.
    fn answer(&self, path: &str, host: &str) -> Option<(&'static str, String)> {
        let rest = path.strip_prefix("/targets")?;
        if rest.is_empty() {
            return Some(("application/json", self.discovery(host)));
        }
        let number = rest.strip_prefix('/')?.strip_suffix("/metrics")?.parse().ok()?;
        Some(("text/plain; version=0.0.4; charset=utf-8", self.page(number)?))
    }

    /// Answers requests until the scraper hangs up.
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_nodelay(true)?;
        let mut output = stream.try_clone()?;
        let mut input = BufReader::new(stream);
        loop {
            let Some(request) = read_line(&mut input)? else { return Ok(()) };
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut host = String::new();
            while let Some(header) = read_line(&mut input)?.filter(|line| !line.is_empty()) {
                if let Some((name, value)) = header.split_once(':')
                    && name.eq_ignore_ascii_case("host")
                {
                    value.trim().clone_into(&mut host);
                }
            }
            let (status, (content_type, body)) = match self.answer(&path, &host) {
                Some(answer) => ("200 OK", answer),
                None => ("404 Not Found", ("text/plain", "see /targets\n".to_owned())),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            output.write_all(head.as_bytes())?;
            output.write_all(body.as_bytes())?;
        }
    }
}

/// A line without its end; `None` at the end of the stream.
fn read_line(input: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let bytes = io::Read::take(input, LINE_BYTES_MAX).read_line(&mut line)?;
    Ok((bytes > 0).then(|| line.trim_end().to_owned()))
}

/// Serves a load's targets until the process ends. Values move by the clock, one step per interval.
///
/// # Errors
/// Where the listener fails.
pub fn serve(listener: &TcpListener, recording: Recording, load: Load) -> io::Result<()> {
    let targets =
        (0..load.targets).map(|number| Mutex::new((0, Target::new(&recording, number, load.seed)))).collect();
    let pages = Arc::new(Pages { load, recording, started: Instant::now(), targets });
    for stream in listener.incoming() {
        let (stream, pages) = (stream?, Arc::clone(&pages));
        std::thread::spawn(move || {
            // A scraper that hangs up in the middle of a page is nothing to stop for.
            let _ = pages.connection(stream);
        });
    }
    Ok(())
}
