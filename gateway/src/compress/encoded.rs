//! A body that is encoded while it passes.
//!
//! **Invariant:** no more is held than the frame in hand and what the encoder has
//! for its window; the next frame is asked for when the last one is through and the
//! client has taken what came of it.

use std::io::{Result, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brotli::enc::BrotliEncoderParams;
use brotli::enc::writer::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body as HttpBody, Frame};
use tokio::sync::OwnedSemaphorePermit;

use super::accept::Coding;
use crate::BoxError;
use crate::body::Body;

/// How much is encoded before others get their turn, in bytes: about 0.2 ms.
const PIECE_BYTES: usize = 32 * 1024;

/// The levels, measured on lists of products: gzip's 2 makes a fifth of them at
/// 180 MB/s, where 4 takes twice as long for a sixth. brotli's 1 makes a fifth
/// at 100 MB/s.
const GZIP_LEVEL: u32 = 2;
const BROTLI_LEVEL: i32 = 1;

/// brotli's window as a power of two; its default would take 4 MiB an answer.
const BROTLI_WINDOW: i32 = 18;

/// brotli's own buffer, in bytes.
const BROTLI_BUFFER_BYTES: usize = 4096;

/// An encoder that writes to memory.
enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

impl Encoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(GzEncoder::new(Vec::new(), level)))
            }
            Coding::Brotli => {
                let (quality, lgwin) = (BROTLI_LEVEL, BROTLI_WINDOW);
                let params = BrotliEncoderParams { quality, lgwin, ..Default::default() };
                let writer =
                    CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER_BYTES, &params);
                Self::Brotli(Box::new(writer))
            }
        }
    }

    /// What comes of a piece; often nothing yet.
    fn write(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Brotli(encoder) => {
                encoder.write_all(piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
        }
    }
}

/// A body in a coding.
pub(super) struct Encoded {
    plain: Body,
    /// Of the last frame, what is not encoded yet.
    rest: Bytes,
    /// Until the end.
    encoder: Option<Encoder>,
    _permit: OwnedSemaphorePermit,
}

impl Encoded {
    /// Encodes `plain`; the permit is given back when the body is gone.
    pub(super) fn new(coding: Coding, plain: Body, permit: OwnedSemaphorePermit) -> Self {
        let encoder = Some(Encoder::new(coding));
        Self { plain, rest: Bytes::new(), encoder, _permit: permit }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Vec<u8>, BoxError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else {
                return Poll::Ready(None);
            };
            if !self.rest.is_empty() {
                let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
                match encoder.write(&piece) {
                    Ok(written) if written.is_empty() => continue,
                    written => return Poll::Ready(Some(written.map_err(Into::into))),
                }
            }
            match ready!(Pin::new(&mut self.plain).poll_frame(cx)) {
                // Trailers are about the plain body, and services send none.
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let last = self.encoder.take().map(Encoder::finish);
                    return Poll::Ready(last.map(|last| last.map_err(Into::into)));
                }
            }
        }
    }
}

impl HttpBody for Encoded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.get_mut().poll_piece(cx));
        Poll::Ready(piece.map(|piece| piece.map(|bytes| Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    fn encoded(coding: Coding, frames: Vec<Bytes>, asked: Arc<AtomicUsize>) -> Encoded {
        let frames = frames.into_iter().map(move |frame| {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BoxError>(Frame::data(frame))
        });
        let plain = Body::page(StreamBody::new(stream::iter(frames)));
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Encoded::new(coding, plain, permit)
    }

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Gzip => drop(GzDecoder::new(bytes).read_to_end(&mut plain).unwrap()),
            Coding::Brotli => brotli::BrotliDecompress(&mut &*bytes, &mut plain).unwrap(),
        }
        plain
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn there_and_back(sizes in proptest::collection::vec(0_usize..100_000, 0..5)) {
            let frames: Vec<_> = sizes
                .iter()
                .map(|size| Bytes::from_iter((0..*size).map(|at| ((at * at) >> 8) as u8)))
                .collect();
            for coding in Coding::ALL {
                let body = encoded(coding, frames.clone(), Arc::default());
                let bytes = futures::executor::block_on(body.collect()).unwrap().to_bytes();
                prop_assert!(decoded(coding, &bytes) == frames.concat());
            }
        }
    }

    #[tokio::test]
    async fn no_more_is_asked_for_than_is_taken() {
        for coding in Coding::ALL {
            let asked = Arc::<AtomicUsize>::default();
            // Noise, which no coding holds back for long.
            let mut seed = 1_u64;
            let noise = std::iter::from_fn(|| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                Some((seed >> 56) as u8)
            });
            let frame = noise.take(64 * 1024).collect::<Bytes>();
            let mut body = encoded(coding, vec![frame; 1000], asked.clone());
            body.frame().await.unwrap().unwrap();
            let seen = asked.load(Ordering::Relaxed);
            assert!(seen <= 16, "{coding:?} asked for {seen} frames");
        }
    }
}
