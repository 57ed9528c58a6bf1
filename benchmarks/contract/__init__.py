"""The contract of segmodels asked of networks, for the table in the documentation."""
