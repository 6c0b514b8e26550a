"""One small module a vendor: the fields of its requests and answers, and what its errors look like.

Each has a `router` of the paths that are its own, and where it shares paths with others a `shared` router; the server
serves both below the vendor's prefix, and at the root `router` beside one route for each shared path (`root.py`).
"""
