//! Generates the messages of the media link from the protos at the root of the repository, without protoc.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../proto");
    let proto = root.join("antiphon/media/v1/link.proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile([&proto], [&root])?;
    tonic_prost_build::configure()
        .bytes(".antiphon.media.v1.PlayoutFrames.payload")
        .bytes(".antiphon.media.v1.DataMessage.payload")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
