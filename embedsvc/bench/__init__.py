"""How fast the encoder, the service and the index are, beside others that do the same.

Whoever is compared takes turns in one run, on the same audio; what comes out stands beside it, so
that nobody is fast by answering something else.
"""
