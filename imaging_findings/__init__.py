"""What should follow an imaging finding, when, why and on whose authority: pure rules and checked codes."""
