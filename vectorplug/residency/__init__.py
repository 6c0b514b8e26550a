"""Which models are in memory: what a device has, what a model costs, who may use it now."""
