//! The Python surface of the media plane: `antiphon.edge._media`, as `_media.pyi` describes it.
//!
//! Calls release the GIL, and no media packet comes by here.

mod errors;
mod events;
mod plane;

use pyo3::prelude::*;

/// The media plane, in Rust. Every call releases the GIL and returns at once unless it says otherwise.
#[pymodule]
mod _media {
    #[pymodule_export]
    use super::errors::OfferRejected;
    #[pymodule_export]
    use super::plane::MediaPlane;
}
