"""What can be set: settings from the environment and strict models of the YAML presets."""
