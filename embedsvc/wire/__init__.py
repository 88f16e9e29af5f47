"""Between protobuf messages and our values, both ways, without logic.

The service and the client share these functions, so that they cannot disagree.
"""
