"""Commands. The only reader of the environment and of flags."""
