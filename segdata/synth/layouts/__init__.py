"""From a painted scene to files, named and encoded as in a dataset's release. What is in a picture is for `places`."""
