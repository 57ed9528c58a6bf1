"""Speed of conversion and of reading. What trains belongs in `networks`."""
