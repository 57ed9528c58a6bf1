"""`segmodels bench`: what a network costs. Every figure is taken in a process of its own."""
