"""The reference, written from the code: settings, errors, metrics, the wire, the command line, reasons of waiting."""
