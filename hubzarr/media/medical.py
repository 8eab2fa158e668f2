"""Medical images: DICOM and NIfTI."""

from __future__ import annotations

from hubzarr.media import dicom, nifti

__all__ = ["FORMATS"]

FORMATS = dicom.FORMATS + nifti.FORMATS
