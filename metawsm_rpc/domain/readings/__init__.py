"""What a program states of itself, as data: `Observation` in, `Statement` out (see `reading`)."""
