"""The gRPC edge: protobuf in and out, who may call what, and how errors become statuses. No decisions are made here."""
