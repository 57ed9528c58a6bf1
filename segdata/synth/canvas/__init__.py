"""What a picture is made with: camera, light, texture, the stage that is painted on, and the order of painting.

No thing that could be painted is known here: no person, no house, no street."""
