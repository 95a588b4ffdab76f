"""How results look: colours, figures, scored words."""
