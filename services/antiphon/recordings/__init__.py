"""Recordings that are kept: what is said of each, and where they are. Making them is the worker's."""

from antiphon.recordings.manifest import MANIFEST, RECORDING_KEY, Manifest, Track, project_in
from antiphon.recordings.stores import DiskStore, Link, Store, StoreError, open_store, read_manifest

__all__ = [
    "MANIFEST",
    "RECORDING_KEY",
    "DiskStore",
    "Link",
    "Manifest",
    "Store",
    "StoreError",
    "Track",
    "open_store",
    "project_in",
    "read_manifest",
]
