"""How each thing looks: a function paints one thing at one place. Where things stand, and how many, is for `places`."""
