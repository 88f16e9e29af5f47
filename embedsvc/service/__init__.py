"""The gRPC service: messages in, messages out; every servicer is a few straight lines."""
