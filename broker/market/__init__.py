"""The use cases: one class for each group of calls. They know neither protobuf nor SQL."""
