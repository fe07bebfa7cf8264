"""The token classifier of the context layer: its data, its training, its export."""
