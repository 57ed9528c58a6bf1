"""What a picture is made with: camera, light, texture, the stage that is painted on, and the order of painting.

Nothing here knows which things are painted: persons, houses, streets."""
