"""Answers for programs."""

from typing import Any

from embedsvc.client import Embedding
from embedsvc.feature_files import space_fields


def described(path: str, answer: Embedding) -> dict[str, Any]:
    """An embedding without its numbers."""
    return {
        "path": path,
        "seconds": answer.seconds,
        "frames": answer.frame_count,
        "shape": list(answer.vector.shape),
        "space": space_fields(answer.space),
        "warnings": [warning.code.value for warning in answer.warnings],
        "digest": answer.digest,
    }
