"""What vectors go through before they are compared, fitted on those of a collection."""

from embedsvc.transforms.fitting import Sample, fit, width
from embedsvc.transforms.languages import Centers
from embedsvc.transforms.storing import from_bytes, to_bytes
from embedsvc.transforms.transform import Transform

__all__ = ["Centers", "Sample", "Transform", "fit", "from_bytes", "to_bytes", "width"]
