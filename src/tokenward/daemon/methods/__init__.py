"""The RPC methods, one module a noun; each pairs a method's name with its models and one call of the service."""
