"""Which network, and how to run it: catalogue, loading, tokenizing, packing, encoder."""
