"""The demo agent of `bff dev`: a LangGraph graph that streams without any model."""
