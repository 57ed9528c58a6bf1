"""What makes pages of results: a table's text from the results it shows, and a picture. Nothing here measures."""
