"""What a program sends: the formats of hosted APIs, of the databases' modules and our own, over one model cache."""
