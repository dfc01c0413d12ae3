//! Streaming encoder: turns a response body into its gzip or brotli coding.
//!
//! **Invariant:** memory is bounded by one frame of input, one chunk of output and the
//! encoder's window (backpressure): the next frame is requested once the last one is
//! consumed and the client has taken the output. The encoder flushes when the source pauses, so
//! the bytes of a slow stream are not held back.

use std::io;

use async_compression::Level;
use async_compression::brotli::EncoderParams;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder};
use futures::TryStreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::AsyncRead;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::{ReaderStream, StreamReader};

use super::accept::Coding;
use crate::body::Body;

/// Size of an output chunk, in bytes: one poll encodes about four times as much,
/// which takes 0.4 ms.
const CHUNK_BYTES: usize = 16 * 1024;

/// Levels, measured on lists of products: gzip's 2 reduces them to a fifth at
/// 180 MB/s, where 4 takes twice as long for a sixth. Brotli's 1 reduces them to a
/// fifth at 100 MB/s.
const GZIP_LEVEL: Level = Level::Precise(2);
const BROTLI_LEVEL: Level = Level::Precise(1);

/// Brotli's window as a power of two; the default takes 4 MiB a response.
const BROTLI_WINDOW: i32 = 18;

/// Encodes `plain`; the permit is released when the encoded body is dropped.
/// Trailers are dropped: they describe the plain body, and services send none.
pub(super) fn encode(coding: Coding, plain: Body, permit: OwnedSemaphorePermit) -> Body {
    let frames = plain.into_data_stream().map_err(move |error| {
        let _held = &permit;
        io::Error::other(error)
    });
    let plain = StreamReader::new(frames);
    match coding {
        Coding::Gzip => chunks(GzipEncoder::with_quality(plain, GZIP_LEVEL)),
        Coding::Brotli => {
            let params = EncoderParams::default()
                .quality(BROTLI_LEVEL)
                .window_size(BROTLI_WINDOW);
            chunks(BrotliEncoder::with_params(plain, params))
        }
    }
}

fn chunks(encoder: impl AsyncRead + Send + 'static) -> Body {
    let chunks = ReaderStream::with_capacity(encoder, CHUNK_BYTES);
    Body::page(StreamBody::new(chunks.map_ok(Frame::data)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxError;
    use bytes::Bytes;
    use flate2::read::GzDecoder;
    use futures::stream;
    use proptest::prelude::*;
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    fn encoded(coding: Coding, frames: Vec<Bytes>, polled: Arc<AtomicUsize>) -> Body {
        let frames = frames.into_iter().map(move |frame| {
            polled.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BoxError>(Frame::data(frame))
        });
        let plain = Body::page(StreamBody::new(stream::iter(frames)));
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        encode(coding, plain, permit)
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
        fn decoding_restores_the_body(sizes in proptest::collection::vec(0_usize..100_000, 0..5)) {
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
    async fn a_slow_client_applies_backpressure_to_the_source() {
        for coding in Coding::ALL {
            let polled = Arc::<AtomicUsize>::default();
            // Noise, which an encoder cannot compress and soon has to pass on.
            let mut seed = 1_u64;
            let noise = std::iter::from_fn(|| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                Some((seed >> 56) as u8)
            });
            let frame = noise.take(64 * 1024).collect::<Bytes>();
            let mut body = encoded(coding, vec![frame; 1000], polled.clone());
            body.frame().await.unwrap().unwrap();
            let seen = polled.load(Ordering::Relaxed);
            assert!(seen <= 16, "{coding:?} polled {seen} frames");
        }
    }
}
