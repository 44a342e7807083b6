//! The HTTP client, for our own requests and for those of object_store.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use ureq::http::{Request, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, RequestExt, SendBody};

use super::answer::{Answer, Fault};
use crate::data::together::CONNECTIONS;

/// How long a server may take to be reached, and to send its next bytes.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);
/// Services of a machine's own cloud, as that of its credentials, are near or absent.
const LOCAL: Duration = Duration::from_secs(1);
/// Bytes of an error that are read.
const ERROR_BYTES: u64 = 4096;
/// Bytes that object_store gets at a time.
const PIECE: usize = 64 << 10;

static AGENT: LazyLock<Agent> = LazyLock::new(|| agent(CONNECT, SILENCE));

/// A client; proxies are those of the environment, certificates the system's.
fn agent(connect: Duration, silence: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("clipwright/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(connect))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence))
        .max_idle_connections(2 * CONNECTIONS)
        .max_idle_connections_per_host(CONNECTIONS)
        .tls_config(tls);
    config.build().into()
}

/// The fault of a request without an answer.
fn unanswered(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Fault::lasting(format!("malformed address: {error}")),
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => Fault::lasting(format!("redirects: {error}")),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            Fault::lasting(format!("no secure connection: {error}; certificates are the system's (SSL_CERT_FILE)"))
        }
        ureq::Error::HostNotFound => Fault::passing("no host of that name"),
        ureq::Error::Timeout(which) => Fault::passing(format!("no answer in time ({which})")),
        ureq::Error::Io(error) => Fault::passing(error.to_string()),
        other => Fault::passing(other.to_string()),
    }
}

/// The fault of an answer without the file.
fn refused(mut answer: Response<ureq::Body>) -> Fault {
    let mut body = Vec::new();
    // a body that breaks off says less
    let _ = answer.body_mut().as_reader().take(ERROR_BYTES).read_to_end(&mut body);
    Fault::of_status(answer.status(), answer.headers(), &body)
}

/// Asks a server for the bytes of a file from `from` on, up to and with `last`.
pub(super) fn get(url: &str, authorization: Option<&str>, from: u64, last: Option<u64>) -> Result<Answer, Fault> {
    get_by(&AGENT, url, authorization, from, last)
}

fn get_by(
    agent: &Agent,
    url: &str,
    authorization: Option<&str>,
    from: u64,
    last: Option<u64>,
) -> Result<Answer, Fault> {
    let range = format!("bytes={from}-{}", last.map_or(String::new(), |last| last.to_string()));
    let mut request = agent.get(url).header(header::RANGE, range);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let answer = request.call().map_err(|error| unanswered(&error))?;
    let (parts, body) = match answer.status() {
        // what begins where an empty file ends
        StatusCode::RANGE_NOT_SATISFIABLE if from == 0 => {
            let (parts, _) = answer.into_parts();
            return Answer::of_headers(StatusCode::PARTIAL_CONTENT, &empty(parts.headers), io::empty());
        }
        status if status.is_success() => answer.into_parts(),
        _ => return Err(refused(answer)),
    };
    Answer::of_headers(parts.status, &parts.headers, body.into_reader())
}

/// The headers of an answer with an empty file.
fn empty(mut headers: header::HeaderMap) -> header::HeaderMap {
    headers.insert(header::CONTENT_RANGE, header::HeaderValue::from_static("bytes 0-0/0"));
    headers.remove(header::CONTENT_ENCODING);
    headers
}

/// Gives object_store the client. An answer that refuses a request becomes a [`Fault`], which [`fault_in`] finds in object_store's error.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    /// Refuses settings of the environment that would be ignored and matter.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let is_set = |key| options.get_config_value(&key).is_some_and(|value| value != "false");
        for (key, name, instead) in [
            (
                ClientConfigKey::AllowInvalidCertificates,
                "…_ALLOW_INVALID_CERTIFICATES",
                "name the server's own certificate by SSL_CERT_FILE",
            ),
            (ClientConfigKey::ProxyUrl, "…_PROXY_URL", "name the proxy by HTTPS_PROXY"),
        ] {
            if is_set(key) {
                let fault = Fault::lasting(format!("{name} in the environment is not obeyed: {instead}"));
                return Err(object_store::Error::NotSupported { source: Box::new(fault) });
            }
        }
        Ok(HttpClient::new(Service))
    }
}

#[derive(Debug)]
struct Service;

/// Whether a host is a service of the machine's own cloud.
fn is_local_service(host: &str) -> bool {
    host.starts_with("169.254.") || host.starts_with("metadata")
}

fn call(request: HttpRequest) -> Result<HttpResponse, Fault> {
    let is_local = is_local_service(request.uri().host().unwrap_or_default());
    let (parts, body) = request.into_parts();
    let body = match body.as_bytes().filter(|bytes| !bytes.is_empty()) {
        Some(bytes) => SendBody::from_owned_reader(io::Cursor::new(bytes.clone())),
        None => SendBody::none(),
    };
    let request = Request::from_parts(parts, body);
    // a bucket's redirect names its region
    let mut configured = request.with_agent(&*AGENT).configure().max_redirects(0).max_redirects_will_error(false);
    if is_local {
        configured = configured.timeout_connect(Some(LOCAL)).timeout_recv_response(Some(LOCAL));
    }
    let answer = match configured.run() {
        Ok(answer) if is_local && !answer.status().is_success() => return Err(Fault::lasting(NO_CREDENTIALS)),
        Err(_) if is_local => return Err(Fault::lasting(NO_CREDENTIALS)),
        answer => answer.map_err(|error| unanswered(&error))?,
    };
    if !answer.status().is_success() {
        return Err(refused(answer));
    }
    let (parts, body) = answer.into_parts();
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(Blocking(Mutex::new(body.into_reader())))))
}

const NO_CREDENTIALS: &str = "no credentials: set those of the store in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
    GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY), or for public data AWS_SKIP_SIGNATURE=true, \
    GOOGLE_SKIP_SIGNATURE=true, AZURE_SKIP_SIGNATURE=true";

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        call(request).map_err(|fault| HttpError::new(HttpErrorKind::Unknown, fault))
    }
}

/// A body that is read while it is polled, which blocks the thread.
struct Blocking<R>(Mutex<R>);

impl<R: Read + Send + Unpin + 'static> Body for Blocking<R> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let mut piece = vec![0; PIECE];
        let read = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner).read(&mut piece);
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(HttpError::new(HttpErrorKind::Unknown, Fault::passing(error.to_string())))),
        })
    }
}

/// The fault that an error of object_store comes from, or its own message.
pub(super) fn fault_in(error: &(dyn std::error::Error + 'static)) -> Fault {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(fault) = inner.downcast_ref::<Fault>() {
            return fault.clone();
        }
        cause = inner.source();
    }
    Fault::lasting(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_silent_server_is_not_waited_for() {
        let agent = agent(CONNECT, Duration::from_millis(200));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.tar", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            // one connection is silent at once, the next after two bytes of five
            let (silent, _) = listener.accept().unwrap();
            let (mut cut, _) = listener.accept().unwrap();
            cut.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").unwrap();
            (silent, cut)
        });
        let fault = get_by(&agent, &url, None, 0, None).map(|_| ()).unwrap_err();
        assert!(fault.passes && fault.message.starts_with("no answer in time"), "{fault}");
        let mut answer = get_by(&agent, &url, None, 0, None).map_err(|fault| fault.message).unwrap();
        let mut bytes = Vec::new();
        let error = answer.body.read_to_end(&mut bytes).unwrap_err();
        assert!(bytes == b"ab" && error.to_string().contains("timeout"), "{error}");
        drop(server.join());
    }

    #[test]
    fn settings_that_would_be_ignored_are_refused() {
        assert!(Connector.connect(&ClientOptions::default()).is_ok());
        for (key, instead) in
            [(ClientConfigKey::AllowInvalidCertificates, "SSL_CERT_FILE"), (ClientConfigKey::ProxyUrl, "HTTPS_PROXY")]
        {
            let error = Connector.connect(&ClientOptions::default().with_config(key, "true")).unwrap_err();
            assert!(fault_in(&error).message.ends_with(instead), "{error}");
        }
    }

    #[test]
    fn faults_are_found_in_the_errors_of_stores() {
        let fault = Fault::passing("HTTP 503");
        let http = HttpError::new(HttpErrorKind::Unknown, fault.clone());
        let error = object_store::Error::Generic { store: "S3", source: Box::new(http) };
        assert_eq!(fault_in(&error), fault);
        assert!(
            !fault_in(&object_store::Error::NotImplemented { operation: "a".into(), implementer: "b".into() }).passes
        );
    }
}
