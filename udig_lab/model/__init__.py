"""A model, its texts, and which number of its output is explained."""
