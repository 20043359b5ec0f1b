//! Messages of the media link, generated from `proto/antiphon/media/v1/link.proto`.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

tonic::include_proto!("antiphon.media.v1");
