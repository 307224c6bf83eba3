"""What a person types where there is no platform."""
