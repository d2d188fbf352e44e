"""Papers: invoices, statements and reports of use, as data, text and PDF. Pure: lines in, documents out.

Nothing here knows the ledger, the database or the wire, so that broker and command line make the same paper of the same
lines, to the byte. Money is integer micro-yuan; what is printed is fen (see `fen`).
"""
