"""Which license governs each file, and what says so."""

from etl.licenses.candidates import LICENSE_VERSION, license_candidates
from etl.licenses.govern import LicenseConfig, detect_texts, govern
from etl.licenses.names import license_role

__all__ = [
    "LICENSE_VERSION",
    "LicenseConfig",
    "detect_texts",
    "govern",
    "license_candidates",
    "license_role",
]
