"""The command `xisuan`: tables for people, `--json` for programs. Commands import what they need when they run."""
