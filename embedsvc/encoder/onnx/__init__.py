"""Models as ONNX graphs: writing them, and running them with onnxruntime.

Only this folder imports the two libraries, which are an extra: import it where it is used.
"""

from embedsvc.errors import FailedPrecondition

try:
    import onnx as _onnx  # noqa: F401
    import onnxruntime as _onnxruntime  # noqa: F401
except ModuleNotFoundError as error:
    raise FailedPrecondition(
        f"exported models need {error.name}: pip install 'embedsvc[onnx]'", field="runtime"
    ) from error

from embedsvc.encoder.onnx.manifest import Manifest, read_manifest
from embedsvc.encoder.onnx.quality import Parity, Quality, compare, default_vector
from embedsvc.encoder.onnx.running import load_exported, open_exported
from embedsvc.encoder.onnx.writing import write

__all__ = [
    "Manifest",
    "Parity",
    "Quality",
    "compare",
    "default_vector",
    "load_exported",
    "open_exported",
    "read_manifest",
    "write",
]
