"""One part of the page a module: its data, who takes part, what is made of their seconds."""
