//! Both ends of HTTP: a client for the server's API, and small servers for it to scrape and to notify.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Talks to one server.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        Self { base: base.to_owned(), agent }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// `None` where nobody answers.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        self.agent.get(format!("{}{path}", self.base)).call().ok().map(read)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|| panic!("no answer to {path}"))
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        read(request.send(body).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Answer {
        let request = self.agent.put(format!("{}{path}", self.base));
        read(request.send(body).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        let request = self.agent.delete(format!("{}{path}", self.base));
        read(request.call().unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub(crate) fn get_with(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in parameters {
            request = request.query(*name, *value);
        }
        read(request.call().unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// As [`Client::get_with`], over a connection that is compressed.
    pub(crate) fn get_zipped(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("Accept-Encoding", "gzip");
        for (name, value) in parameters {
            request = request.query(*name, *value);
        }
        let response = request.call().unwrap_or_else(|error| panic!("{path}: {error}"));
        let encoding = response.headers().get("content-encoding").and_then(|value| value.to_str().ok());
        assert_eq!(encoding, Some("gzip"), "{path} was asked for compressed");
        let mut answer =
            Answer { status: response.status().as_u16(), content_type: String::new(), body: String::new() };
        let mut packed = Vec::new();
        response.into_body().into_reader().read_to_end(&mut packed).unwrap();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut answer.body).unwrap();
        answer
    }

    pub(crate) fn post_form(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.base));
        read(request.send_form(parameters.iter().copied()).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// The data of a successful answer of the API.
    pub(crate) fn data(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.get_with(path, parameters);
        let json = answer.json();
        assert_eq!(json["status"], "success", "{path} {parameters:?}: {}", answer.body);
        json["data"].clone()
    }

    /// The values of an instant query, with their labels.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let data = self.data("/api/v1/query", &[("query", query)]);
        let result = data["result"].as_array().unwrap_or_else(|| panic!("{query} yields no vector: {data}"));
        result
            .iter()
            .map(|series| {
                let value = series["value"][1].as_str().unwrap_or_else(|| panic!("no value in {series}"));
                (series["metric"].clone(), value.parse().unwrap())
            })
            .collect()
    }

    /// The value of an instant query that yields one series; `None` where it yields none.
    pub(crate) fn value(&self, query: &str) -> Option<f64> {
        let values = self.query(query);
        assert!(values.len() <= 1, "{query} yields {values:?}");
        values.first().map(|(_, value)| *value)
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    let content_type = response.body().mime_type().unwrap_or_default().to_owned();
    Answer { status, content_type, body: response.body_mut().read_to_string().unwrap() }
}

/// A request that a listener got.
pub(crate) struct Request {
    /// Method, path with query, version.
    pub(crate) line: String,
    /// The header lines.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What a listener answers.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Lines of the head, each with its end.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Reply {
    /// JSON with this status.
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: "Content-Type: application/json\r\n".to_owned(), body: body.into() }
    }
}

type Respond = Box<dyn FnMut(Request) -> Reply + Send>;

/// A small HTTP server that can go away.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(crate) fn start(respond: impl FnMut(Request) -> (&'static str, String) + Send + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), respond)
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        mut respond: impl FnMut(Request) -> (&'static str, String) + Send + 'static,
    ) -> Self {
        Self::replying(address, move |request| {
            let (content_type, body) = respond(request);
            Reply { status: 200, headers: format!("Content-Type: {content_type}\r\n"), body }
        })
    }

    /// One that answers with any status.
    pub(crate) fn replying(
        address: SocketAddr,
        respond: impl FnMut(Request) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let respond: Arc<Mutex<Respond>> = Arc::new(Mutex::new(Box::new(respond)));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that breaks off is the other side's business.
                let _ = stream.and_then(|stream| answer(stream, &mut respond.lock().unwrap()));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread out of its wait for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, respond: &mut Respond) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut length, mut headers) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        headers.push_str(&header);
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = line.trim_end().to_owned();
    let Reply { status, headers, body } =
        respond(Request { line, headers, body: String::from_utf8_lossy(&body).into_owned() });
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} Answer\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
