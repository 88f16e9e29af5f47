"""Services that this version declares and does not yet offer.

They answer UNIMPLEMENTED with a reason, and their health says NOT_SERVING.
"""

from embedsvc.errors import Unimplemented
from embedsvc.service.status import Context, unary
from embedsvc.v1 import transcription_pb2, transcription_pb2_grpc


class TranscriptionServicer(transcription_pb2_grpc.TranscriptionServiceServicer):
    """No CTC head yet."""

    @unary
    async def Transcribe(
        self, request: transcription_pb2.TranscribeRequest, context: Context
    ) -> transcription_pb2.TranscribeResponse:
        """UNIMPLEMENTED."""
        raise Unimplemented("this version has no transcription")
