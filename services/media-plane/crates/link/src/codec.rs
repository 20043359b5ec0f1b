//! The codec of media streams: encodes a batch as it stands and lets it return to its pool.

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

use crate::batch::Batch;
use crate::proto::MediaResponse;

/// Room for a flush of some hundred frames, so that the buffer seldom grows.
const BUFFER: usize = 64 * 1024;
/// Bytes that tonic gathers before it hands them to HTTP/2.
const YIELD: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct MediaCodec;

impl Codec for MediaCodec {
    type Encode = Batch;
    type Decode = MediaResponse;
    type Encoder = BatchEncoder;
    type Decoder = ProstDecoder<MediaResponse>;

    fn encoder(&mut self) -> Self::Encoder {
        BatchEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD))
    }
}

#[derive(Debug)]
pub(crate) struct BatchEncoder;

impl Encoder for BatchEncoder {
    type Item = Batch;
    type Error = Status;

    fn encode(&mut self, batch: Batch, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        batch
            .message()
            .encode(buffer)
            .map_err(|_| Status::internal("a media message did not fit its buffer"))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}
