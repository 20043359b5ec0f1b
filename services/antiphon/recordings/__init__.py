"""Recordings that are kept: what is said of each, and where they are. Making them is the worker's."""

from antiphon.recordings.manifest import (
    MANIFEST,
    PART,
    RECORDING_KEY,
    Manifest,
    Track,
    part_name,
    part_order,
    project_in,
)
from antiphon.recordings.stores import DiskStore, Link, Store, StoreError, open_store, read_manifest

__all__ = [
    "MANIFEST",
    "PART",
    "RECORDING_KEY",
    "DiskStore",
    "Link",
    "Manifest",
    "Store",
    "StoreError",
    "Track",
    "open_store",
    "part_name",
    "part_order",
    "project_in",
    "read_manifest",
]
