"""The registered training model: what one step is."""
