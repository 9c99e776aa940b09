"""`trivox data export`: datasets for other programs, and for another workspace."""

from trivox.pipelines.exports.bundle import BundleManifest, export_bundle
from trivox.pipelines.exports.service import export_dataset

__all__ = ["BundleManifest", "export_bundle", "export_dataset"]
