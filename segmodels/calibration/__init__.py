"""`segmodels calibrate`: the q of each class that a budget of compute, or of time, is best spent on."""
