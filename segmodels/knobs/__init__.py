"""`segmodels sweep`: what each position of a knob costs on real images, and what it is worth."""
