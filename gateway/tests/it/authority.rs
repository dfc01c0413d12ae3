//! A strict certificate authority (RFC 8555): it refuses some valid nonces, keeps orders
//! pending, and validates challenges over the network.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, crypto};

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// Of so many requests one is refused although its nonce is valid.
const REFUSED_EVERY: u64 = 4;

/// The number of polls before an order proceeds.
const POLLS: u64 = 2;

/// An authority for one name, with one order at a time.
pub(crate) struct Authority {
    /// The root certificate of its chains.
    pub(crate) root: CertificateDer<'static>,
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    base: String,
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    /// The address that the name resolves to.
    leads_to: watch::Sender<Option<SocketAddr>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nonces: Vec<String>,
    requests: u64,
    refused_nonces: u64,
    accounts: u64,
    orders: u64,
    thumbprint: String,
    name: String,
    is_proven: bool,
    waits: u64,
    chain: Option<String>,
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            base: format!("http://{address}"),
            root_pem: root.pem(),
            issuer: Issuer::new(params, key),
            leads_to: watch::Sender::default(),
            state: Mutex::default(),
        });
        tokio::spawn(serve(listener, inner.clone()));
        Self { root: root.der().clone(), address, inner }
    }

    /// Lets the name resolve to `to`.
    pub(crate) fn resolve_to(&self, to: SocketAddr) {
        self.inner.leads_to.send_replace(Some(to));
    }

    /// The number of accounts and orders created, and of valid nonces refused.
    pub(crate) fn seen(&self) -> (u64, u64, u64) {
        let state = self.inner.state.lock().unwrap();
        (state.accounts, state.orders, state.refused_nonces)
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let inner = inner.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let inner = inner.clone();
                async move { Ok::<_, Infallible>(inner.answer(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

type TestResponse = Response<Full<Bytes>>;

impl Inner {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> TestResponse {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = parts.uri.path();
        if parts.method != Method::POST {
            return match path {
                "/directory" => self.json(200, &self.directory()),
                _ => self.json(200, &Value::Null),
            };
        }
        let sent: Value = serde_json::from_slice(&body).unwrap();
        let part = |name: &str| {
            let text = sent[name].as_str().unwrap();
            BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
        };
        let protected: Value = serde_json::from_slice(&part("protected")).unwrap();
        let payload: Value = serde_json::from_slice(&part("payload")).unwrap_or_default();
        assert_eq!(protected["url"], format!("{}{path}", self.base));
        assert_eq!(protected["alg"], "ES256");
        if let Some(refused) = self.refuse_nonce(&protected) {
            return refused;
        }
        match path {
            "/account" => self.account(&protected["jwk"]),
            "/new-order" => self.new_order(&payload),
            "/authorization" => self.json(200, &self.authorization()),
            "/challenge" => {
                tokio::spawn(self.clone().validate());
                self.json(200, &self.authorization()["challenges"][0])
            }
            "/finalize" => self.finalize(&payload),
            "/order" => self.order(200),
            "/certificate" => self.certificate(),
            other => panic!("{other} is not in the directory"),
        }
    }

    fn directory(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.base);
        json!({
            "newNonce": at("/nonce"),
            "newAccount": at("/account"),
            "newOrder": at("/new-order"),
            "revokeCert": at("/revoke"),
            "keyChange": at("/key-change"),
        })
    }

    /// A nonce is valid once (RFC 8555 §6.5), and some valid ones are refused as well.
    fn refuse_nonce(&self, protected: &Value) -> Option<TestResponse> {
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        let nonce = protected["nonce"].as_str().unwrap();
        let known = state.nonces.iter().position(|one| one == nonce);
        let known = known.map(|place| state.nonces.remove(place));
        assert!(known.is_some(), "a nonce that was never issued");
        if !state.requests.is_multiple_of(REFUSED_EVERY) {
            return None;
        }
        state.refused_nonces += 1;
        drop(state);
        let kind = "urn:ietf:params:acme:error:badNonce";
        let problem = json!({ "type": kind, "detail": "not that one", "status": 400 });
        Some(self.json(400, &problem))
    }

    fn account(&self, key: &Value) -> TestResponse {
        let mut state = self.state.lock().unwrap();
        state.accounts += 1;
        // RFC 7638: exactly these members, in this order.
        let member = |name: &str| key[name].as_str().unwrap().to_owned();
        let (x, y) = (member("x"), member("y"));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        state.thumbprint = BASE64URL_NOPAD.encode(&Sha256::digest(canonical));
        drop(state);
        self.at("/account/1", self.json(201, &json!({ "status": "valid" })))
    }

    fn new_order(&self, payload: &Value) -> TestResponse {
        let mut state = self.state.lock().unwrap();
        let name = payload["identifiers"][0]["value"]
            .as_str()
            .unwrap()
            .to_owned();
        let (orders, thumbprint) = (state.orders + 1, state.thumbprint.clone());
        let (accounts, requests) = (state.accounts, state.requests);
        let (nonces, refused_nonces) = (std::mem::take(&mut state.nonces), state.refused_nonces);
        *state = State {
            nonces,
            requests,
            refused_nonces,
            accounts,
            orders,
            thumbprint,
            name,
            ..State::default()
        };
        drop(state);
        self.order(201)
    }

    fn authorization(&self) -> Value {
        let state = self.state.lock().unwrap();
        let status = if state.is_proven { "valid" } else { "pending" };
        let kinds = ["tls-alpn-01", "http-01"];
        let url = format!("{}/challenge", self.base);
        let challenge =
            |kind| json!({ "type": kind, "url": url, "token": TOKEN, "status": status });
        json!({
            "identifier": { "type": "dns", "value": state.name },
            "status": status,
            "challenges": kinds.map(challenge),
        })
    }

    fn order(&self, code: u16) -> TestResponse {
        let mut state = self.state.lock().unwrap();
        let status = match (state.is_proven, &state.chain) {
            (false, _) => "pending",
            (true, None) => "ready",
            (true, Some(_)) if state.waits < POLLS => {
                state.waits += 1;
                "processing"
            }
            (true, Some(_)) => "valid",
        };
        let at = |path: &str| format!("{}{path}", self.base);
        let order = json!({
            "status": status,
            "identifiers": [{ "type": "dns", "value": state.name }],
            "authorizations": [at("/authorization")],
            "finalize": at("/finalize"),
            "certificate": (status == "valid").then(|| at("/certificate")),
        });
        drop(state);
        self.at("/order", self.json(code, &order))
    }

    fn finalize(&self, payload: &Value) -> TestResponse {
        let csr = payload["csr"].as_str().unwrap().as_bytes();
        let csr = CertificateSigningRequestDer::from(BASE64URL_NOPAD.decode(csr).unwrap());
        let csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let mut state = self.state.lock().unwrap();
        assert!(state.is_proven, "an order is finalized before it is ready");
        let issued = csr.signed_by(&self.issuer).unwrap().pem();
        state.chain = Some(format!("{issued}{}", self.root_pem));
        drop(state);
        self.order(200)
    }

    fn certificate(&self) -> TestResponse {
        let chain = self.state.lock().unwrap().chain.clone().unwrap();
        let mut answer = self.json(200, &Value::Null);
        *answer.body_mut() = Full::from(chain);
        answer
    }

    /// Validates the challenge at the name's address (RFC 8737 §3).
    async fn validate(self: Arc<Self>) {
        let mut leads_to = self.leads_to.subscribe();
        let to = leads_to.wait_for(Option::is_some).await.unwrap().unwrap();
        let (name, expected) = {
            let state = self.state.lock().unwrap();
            let expected = Sha256::digest(format!("{TOKEN}.{}", state.thumbprint));
            (state.name.clone(), expected)
        };
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let stream = TcpStream::connect(to).await.unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from(name).unwrap(), stream)
            .await
            .unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(connection.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        let shown = &connection.peer_certificates().unwrap()[0];
        let is_proven = shown.windows(32).any(|bytes| bytes == &expected[..]);
        assert!(
            is_proven,
            "the certificate does not have the challenge's digest"
        );
        self.state.lock().unwrap().is_proven = true;
    }

    fn json(&self, status: u16, value: &Value) -> TestResponse {
        let mut state = self.state.lock().unwrap();
        let nonce = format!(
            "nonce-{:016x}",
            u64::from(status) + state.nonces.len() as u64 * 1000
        ) + &state.requests.to_string();
        state.nonces.push(nonce.clone());
        Response::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .header("replay-nonce", nonce)
            .body(Full::from(value.to_string()))
            .unwrap()
    }

    fn at(&self, path: &str, mut answer: TestResponse) -> TestResponse {
        let place = format!("{}{path}", self.base).parse().unwrap();
        answer.headers_mut().insert("location", place);
        answer
    }
}

/// Accepts every certificate: the test checks it itself.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
